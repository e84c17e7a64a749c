"""The report's tables of carbon: by site and tenant, and by kind and origin of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.report.formats import DASH, amount, known, percent, seconds
from experiments.report.run_data import read_columns

if TYPE_CHECKING:
    import pandas as pd

    from sim.core.result import Result

_SUMS = ("energy_j", "operational_g", "embodied_g")


@dataclass(frozen=True)
class Listing:
    """A table of the page; the first cell of a row names it."""

    title: str
    note: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]


def listings(result: Result, systems: list[str]) -> list[Listing]:
    """Those that a run has something for."""
    found = [_by_site(result), *(_by_client(result, name) for name in systems)]
    return [each for each in found if each is not None]


def _by_site(result: Result) -> Listing | None:
    """Each site's tenants, and the sites where there are several."""
    if "carbon" not in result.tables:
        return None
    columns = ("site", "tenant", "account", *_SUMS)
    books = read_columns(result, "carbon", columns).to_pandas()
    if books.empty:
        return None
    books["grams"] = books.operational_g + books.embodied_g
    whole_g = float(books.grams.sum())
    rows = []
    for site, here in books.groupby("site", sort=False):
        tenants = here.groupby("tenant", sort=True)
        if len(tenants) > 1:
            rows.append(_row(str(site), here, whole_g))
        rows += [_row(f"{site}: {name}", own, whole_g) for name, own in tenants]
    return Listing(
        "Carbon by site and tenant",
        "Energy is before PUE; operation has PUE and all that supplies the site in it. Idle of it: "
        "what is drawn without work (with carbon=requests, what of it no request held). Tenant "
        "idle: parts that nobody had; shared: links.",
        ("Site", "Energy", "idle of it", "Operation", "Making", "Carbon", "of all"),
        rows,
    )


def _row(name: str, books: pd.DataFrame, whole_g: float) -> tuple[str, ...]:
    energy_j, operational_g, embodied_g = (float(books[key].sum()) for key in _SUMS)
    idle_j = float(books.energy_j[books.account == "idle"].sum())
    grams = operational_g + embodied_g
    return (
        name,
        amount(energy_j, "J"),
        percent(idle_j / energy_j) if energy_j else DASH,
        amount(operational_g, "g"),
        amount(embodied_g, "g"),
        amount(grams, "g"),
        percent(grams / whole_g) if whole_g else DASH,
    )


def _by_client(result: Result, system: str) -> Listing | None:
    """A system's requests by kind and region, where there are several or some were held back."""
    prefix = "" if system == "serving" else f"{system}_"
    if f"{prefix}requests" not in result.tables:
        return None
    held = [
        name
        for name in result.tables
        if name == f"{prefix}deferred"
        or (name.startswith(f"{system.replace('.', '_')}_") and name.endswith("_deferred"))
    ]
    carbon = f"{prefix}carbon_requests"
    requests = _requests(result, f"{prefix}requests", held, carbon)
    groups = requests.groupby(["kind", "origin"], sort=True)
    if requests.empty or not (len(groups) > 1 or held):
        return None
    rows = [_group(str(kind), str(origin), own) for (kind, origin), own in groups]
    whose = "without idle time" if carbon in result.tables else "carbon=requests tells"
    return Listing(
        f"Requests of {system} by kind and region",
        "Held: from being handed in to being let go, of those that may wait, whose time end to end "
        "begins then. Missed: not done by the deadline (late, rejected, or under way when the run "
        f"ended behind it). Carbon of a request is its own, {whose}.",
        ("Requests", "number", "finished", "end to end", "held", "missed", "carbon each"),
        rows,
    )


def _requests(result: Result, table: str, held: list[str], carbon: str) -> pd.DataFrame:
    """With the column `origin`, and with `held_s`, `missed` and `grams` where a run has them."""
    import pandas as pd

    columns = ["id", "kind", "status", "e2e_latency_s"]
    if _has_origins(result, table):
        columns.append("origin")
    requests: pd.DataFrame = read_columns(result, table, tuple(columns)).to_pandas()
    if "origin" not in requests:
        requests["origin"] = ""
    times = ("id", "submitted_s", "released_s", "deadline_s", "finish_s")
    waited = [read_columns(result, name, times).to_pandas() for name in held]
    if waited:
        every = pd.concat(waited).set_index("id")
        every["held_s"] = every.released_s - every.submitted_s
        requests = requests.join(every[["held_s", "deadline_s", "finish_s"]], on="id")
        due = (requests.status == "rejected") | (requests.deadline_s < result.number("simulated_s"))
        done = requests.finish_s <= requests.deadline_s
        requests["missed"] = requests.deadline_s.notna() & due & ~done
    if carbon in result.tables:
        own = read_columns(result, carbon, ("id", *_SUMS[1:])).to_pandas().groupby("id").sum()
        requests = requests.join(own.sum(axis=1).rename("grams"), on="id")
    return requests


def _has_origins(result: Result, table: str) -> bool:
    import pyarrow.parquet as pq

    assert result.folder is not None
    with pq.ParquetFile(result.folder / f"{table}.parquet") as file:
        return "origin" in file.schema_arrow.names


def _group(kind: str, origin: str, own: pd.DataFrame) -> tuple[str, ...]:
    waits = "held_s" in own and own.held_s.notna().any()
    name = f"{kind or 'all'}{f' from {origin}' if origin else ''}"
    return (
        name,
        f"{len(own):,}",
        f"{int((own.status == 'finished').sum()):,}",
        seconds(known(float(own.e2e_latency_s.mean()))),
        seconds(float(own.held_s.mean())) if waits else DASH,
        f"{int(own.missed.sum()):,}" if waits else DASH,
        amount(known(float(own.grams.mean())), "g") if "grams" in own else DASH,
    )
