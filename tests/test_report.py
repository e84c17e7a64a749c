"""The report: whole, self-contained, and true to the run's folder."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple
from functools import cache
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.compose import compose
from experiments.figures import headline
from experiments.report import books, jobs, picture, write_report
from experiments.report.formats import amount, number, percent, seconds
from experiments.report.overview import notices, tiles
from experiments.report.run_data import ServingRun, SystemRun, read_result, thinned
from sim.core.errors import ConfigError
from sim.core.result import Result
from sim.core.run import run

RUNS = {
    "plain": ["workload.count=400", "replicas=2", "arrivals.rate_rps=10"],
    "nothing": ["workload.count=1", "until_s=0.01"],
    "none finished": ["workload.count=5", "engine.kv_blocks=1"],
    "one request": ["workload.count=1"],
    "no series": ["workload.count=60", "series_interval_s=null"],
    "all at once": [
        "workload=fixed", "workload.output.tokens=1", "workload.count=200", "arrivals=burst",
    ],
    "64 replicas": ["workload.count=300", "replicas=64", "arrivals.rate_rps=40"],
    "overloaded": [
        "workload.count=400", "until_s=30", "arrivals.rate_rps=20", "engine.max_sequences=16",
        "engine.kv_blocks=400", "slo_ttft_s=1.0", "slo_tpot_s=0.02", "engine.over_context=truncate",
    ],
}  # fmt: skip
VOID = {"meta", "br", "hr", "img", "link", "input", "use", "path", "rect"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run for each of the settings above."""
    base = tmp_path_factory.mktemp("runs")
    made = {}
    for name, overrides in RUNS.items():
        made[name] = base / name.replace(" ", "-")
        run(compose(overrides), made[name], overrides=overrides)
    return made


@pytest.fixture(scope="module")
def pages(folders: dict[str, Path]) -> Callable[[str], Page]:
    """The page of a run, made once."""
    return cache(lambda name: Page(write_report(folders[name])))


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the plain run, to be spoilt."""
    ignore = shutil.ignore_patterns("report.html")
    return Path(shutil.copytree(folders["plain"], tmp_path / "run", ignore=ignore))


class Page(HTMLParser):
    """What a page holds; fails on tags that do not close."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.figures: list[dict[str, Any]] = []
        self.text = ""
        source = path.read_text(encoding="utf-8")
        self.source = source
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attributes}
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "svg":
            self.figures.append(given | {"title": "", "desc": ""})
        assert tag not in ("script", "link", "iframe", "object", "img")
        self.references += [given[key] for key in ("href", "xlink:href", "src") if key in given]
        for value in given.values():
            self.references += [part.split(")")[0] for part in value.split("url(")[1:]]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] == "style":
            return
        self.text += data
        if self.open[-1] in ("title", "desc") and "svg" in self.open:
            self.figures[-1][self.open[-1]] += data


@pytest.mark.parametrize("name", RUNS)
def test_a_page_for_every_run(
    name: str, folders: dict[str, Path], pages: Callable[[str], Page]
) -> None:
    page = pages(name)
    assert (folders[name] / "report.html").read_text(encoding="utf-8") == page.source
    assert len(page.ids) == len(set(page.ids))
    for reference in page.references:
        assert reference.startswith("#")
        assert reference[1:] in page.ids
    assert "@import" not in page.source
    for figure in page.figures:
        assert figure["role"] == "img"
        assert figure["title"].strip()
        assert figure["desc"].strip()
        assert set(figure["aria-labelledby"].split()) <= set(page.ids)
    words = page.text.replace("\n", " ").split()
    assert not {"nan", "NaN", "None", "inf"} & {word.strip(".,;%()") for word in words}
    expected = 11 if name in ("plain", "64 replicas") else 1
    assert len(page.figures) >= expected
    assert len(page.source) < 600_000
    assert not list(folders[name].glob(".report*"))


def test_what_the_plain_page_says(folders: dict[str, Path], pages: Callable[[str], Page]) -> None:
    page = pages("plain")
    summary = json.loads((folders["plain"] / "summary.json").read_text())
    for latency in ("ttft_s", "tpot_s", "e2e_latency_s", "queue_s"):
        for key in ("mean", "p50", "p90", "p99", "max"):
            assert seconds(summary[f"serving.{latency}.{key}"]) in page.text
    assert "Llama-3-8B on a100-80-sxm, 2 replicas" in page.text
    assert "orrery run workload.count=400 replicas=2 arrivals.rate_rps=10" in page.text
    for key in summary:
        assert key in page.text
    titles = [figure["title"] for figure in page.figures]
    assert titles == [
        "Latency distributions", "Time to first token", "Time per output token",
        "Requests in the system", "Arrivals and completions", "Output throughput",
        "KV cache in use", "Load by replica", "GPU time by phase", "Power",
        "Lengths of prompts and outputs", "Carbon of the cluster by part", "Carbon intensity",
    ]  # fmt: skip


def test_the_same_folder_gives_the_same_page(
    folders: dict[str, Path], pages: Callable[[str], Page], tmp_path: Path
) -> None:
    moved = shutil.copytree(folders["overloaded"], tmp_path / "elsewhere")
    assert write_report(moved).read_text(encoding="utf-8") == pages("overloaded").source


def test_replicas_that_nobody_used_are_counted(folders: dict[str, Path]) -> None:
    data = ServingRun(read_result(folders["64 replicas"]), "serving")
    assert data.replicas == 64
    assert data.kv_blocks == data.result["serving.kv_blocks"] / 64


def titles_of(folder: Path) -> str:
    found = notices(ServingRun(read_result(folder), "serving"))
    return "; ".join(notice.title for notice in found)


def test_notices(folders: dict[str, Path]) -> None:
    result = Result.read(folders["overloaded"])
    overloaded = titles_of(folders["overloaded"])
    assert "The system is saturated" in overloaded
    assert f"{result['serving.preemptions']} preemptions" in overloaded
    assert f"{result['serving.requests_unfinished']} requests unfinished" in overloaded
    assert "truncated" in overloaded
    assert "saturated" not in titles_of(folders["plain"])
    assert "saturated" not in titles_of(folders["all at once"])
    assert titles_of(folders["none finished"]) == "No request finished; 5 requests rejected"
    assert titles_of(folders["one request"]) == ""


def test_goodput_shows_when_an_objective_is_set(folders: dict[str, Path]) -> None:
    def named(name: str) -> dict[str, str]:
        data = ServingRun(read_result(folders[name]), "serving")
        return {tile.name: tile.text for tile in tiles(data)}

    assert "Goodput" not in named("plain")
    goodput = Result.read(folders["overloaded"])["serving.goodput_rps"]
    assert named("overloaded")["Goodput"] == f"{number(goodput)} req/s"


def test_requests_in_the_system_by_hand(folder: Path) -> None:
    def rows(**columns: list[Any]) -> None:
        empty = dict.fromkeys(("ttft_s", "tpot_s", "e2e_latency_s", "queue_s"), [None] * 4)
        sizes = {"prompt_tokens": [1] * 4, "output_tokens": [1] * 4, "replica": [0, 0, 0, None]}
        table = pa.table(columns | {k: pa.array(v, "float64") for k, v in empty.items()} | sizes)
        pq.write_table(table, folder / "requests.parquet")

    rows(
        status=["finished", "finished", "unfinished", "rejected"],
        arrival_s=[0.0, 1.0, 2.0, 2.0],
        scheduled_s=[0.5, 3.0, None, None],
        finish_s=[3.0, 5.0, None, None],
    )
    data = ServingRun(read_result(folder), "serving")
    running, waiting = data.in_system(np.array([0.0, 0.5, 1.0, 2.0, 3.0, 5.0]))
    assert running.tolist() == [0, 1, 1, 1, 1, 0]
    assert waiting.tolist() == [1, 0, 1, 2, 1, 1]


def test_rates_follow_from_counters(folders: dict[str, Path]) -> None:
    data = ServingRun(read_result(folders["plain"]), "serving")
    assert data.series is not None
    edges, rate = data.series.rate("output_tokens")
    table = pq.read_table(folders["plain"] / "series.parquet").to_pandas()
    last = table[table.time_s == table.time_s.max()].output_tokens.sum()
    assert np.sum(rate * np.diff(edges)) == pytest.approx(last)


def test_thinning_keeps_both_ends() -> None:
    for length in (1, 2, 399, 400, 401, 1_000_000):
        kept = thinned(np.empty(length), 400)
        assert len(kept) == min(length, 400)
        assert (kept[0], kept[-1]) == (0, length - 1)
        assert np.all(np.diff(kept) > 0)


def test_many_requests_make_no_larger_page(folder: Path, pages: Callable[[str], Page]) -> None:
    small = len(pages("plain").source)
    table = pq.read_table(folder / "requests.parquet")
    pq.write_table(pa.concat_tables([table] * 100), folder / "requests.parquet")
    assert write_report(folder).stat().st_size < small + 100_000


def test_metrics_without_a_value(folder: Path) -> None:
    path = folder / "summary.json"
    nothing = cycle([None, float("nan"), "words"])
    path.write_text(json.dumps(dict(zip(json.loads(path.read_text()), nothing, strict=False))))
    page = Page(write_report(folder))
    assert "nan" not in page.text.lower().split()
    assert len(page.figures) >= 8


def test_two_systems_have_a_part_each(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["no series"], tmp_path / "run"))
    path = folder / "summary.json"
    summary = json.loads(path.read_text())
    other = {key.replace("serving.", "other."): value for key, value in summary.items()}
    path.write_text(json.dumps(summary | other))
    shutil.copy(folder / "requests.parquet", folder / "other_requests.parquet")
    page = Page(write_report(folder))
    assert len(page.figures) == 16  # the cluster's two once
    assert len(page.ids) == len(set(page.ids))


def test_a_run_without_serving_shows_its_metrics(folder: Path) -> None:
    (folder / "summary.json").write_text('{"energy_j": 1234.5, "simulated_s": 7.0}')
    page = Page(write_report(folder))
    assert page.figures == []
    assert "1234.5" in page.text
    with pytest.raises(ConfigError, match="no served requests"):
        picture(folder)


@pytest.mark.parametrize("experiment", ["none", "carbon_jobs"])
def test_a_time_to_idle_to_that_had_passed_did_nothing(experiment: str, tmp_path: Path) -> None:
    """Told by the report and beside the figures; not where the run went on to it."""
    few = ["workload.count=5"] if experiment == "none" else ["jobs.count=2", "jobs.days=1"]
    words = [f"experiment={experiment}", *few]
    lasted_s = run(compose(words)).number("simulated_s")
    for idle_s, said in ((0.9 * lasted_s, True), (lasted_s, False), (1.1 * lasted_s, False)):
        result = run(compose([*words, f"idle_until_s={idle_s!r}"]), tmp_path / "run")
        assert result["simulated_s"] == max(lasted_s, idle_s)
        title = f"idle_until_s = {idle_s:g} did nothing"
        assert (title in Page(write_report(tmp_path / "run")).text) is said
        last = headline(result).splitlines()[-1]
        note = f"note: {title}. The run lasted longer, {seconds(lasted_s)}."
        assert last.startswith(note) is said


def test_carbon_by_site_and_requests_by_region(tmp_path: Path) -> None:
    """Rows of the books and of the requests, added up by hand."""
    words = [
        "cluster=two_regions", "sites=two_regions", "client=deferred_two_regions", "replicas=2",
        "routing=carbon", "workload.count=8", "carbon=requests",
        "client.clients.batch.workload.workload.count=12", "series_interval_s=null",
    ]  # fmt: skip
    result = run(compose(words), tmp_path / "run")
    page = Page(write_report(tmp_path / "run"))
    found = {title: rows for title, _, _, rows in map(astuple, books.listings(result, ["serving"]))}
    ledger, by_site = result.table("carbon"), found["Carbon by site and tenant"]
    assert [row[0] for row in by_site] == [
        "west", "west: serving", "west: shared", "east", "east: serving", "east: shared",
    ]  # fmt: skip
    for name, *cells in by_site:
        site, _, tenant = name.partition(": ")
        own = ledger[(ledger.site == site) & (ledger.tenant.str.contains(tenant))]
        idle = own[own.account == "idle"]
        grams = own.operational_g.sum() + own.embodied_g.sum()
        assert cells == [
            amount(own.energy_j.sum(), "J"), percent(idle.energy_j.sum() / own.energy_j.sum()),
            amount(own.operational_g.sum(), "g"), amount(own.embodied_g.sum(), "g"),
            amount(grams, "g"), percent(grams / result.number("carbon_g")),
        ]  # fmt: skip
    rows = found["Requests of serving by kind and region"]
    held, each = result.table("serving_batch_deferred"), result.table("carbon_requests")
    requests = result.table("requests").set_index("id")
    assert sum(int(row[1]) for row in rows) == 28
    for name, sent, finished, _, waited, late, grams in rows:
        kind, _, origin = name.partition(" from ")
        own = requests[(requests.kind == kind) & (requests.origin == origin)]
        assert (sent, finished) == (f"{len(own)}", f"{len(own)}")
        let_go = held[held.id.isin(own.index)]
        if kind == "batch":
            assert waited == seconds((let_go.released_s - let_go.submitted_s).mean())
        assert late == ("0" if kind == "batch" else "\u2013")
        mine = each[each.id.isin(own.index)]
        assert grams == amount((mine.operational_g + mine.embodied_g).sum() / len(own), "g")
    for row in (*by_site, *rows):
        assert all(cell in page.text for cell in row)


def test_requests_that_miss_their_deadline(tmp_path: Path) -> None:
    """Let go as they are due, with no time for serving them; the run is cut off in between."""
    batch = "client.clients.batch"
    words = [
        "client=deferred", "workload.count=5", f"{batch}.workload.count=12", f"{batch}.wait_s=30",
        f"{batch}.gather_s=29", f"{batch}.serve_s=0", "until_s=33.65", "series_interval_s=null",
    ]  # fmt: skip
    result = run(compose(words), tmp_path / "run")
    missed, late = (result.number(f"serving.batch.deferred.{key}") for key in ("missed", "late"))
    assert (late, missed) == (2, 4)
    rows = books.listings(result, ["serving"])[-1].rows
    assert [row[5] for row in rows] == [f"{missed:.0f}", "\u2013"]
    said = headline(result).splitlines()
    held_s = result.number("serving.batch.deferred.held_s.mean")
    (line,) = (line for line in said if line.startswith("batch: "))
    assert line.startswith(f"batch: 12 requests held back for {held_s:.4g} s on average")
    assert line.endswith("4 missed their deadline, 0 still held")


OTHERS = {
    "jobs": ["experiment=carbon_jobs", "jobs.count=3", "jobs.days=1", "jobs.most_hours=5"],
    "no job": ["experiment=carbon_jobs", "jobs.count=1", "until_s=1.0"],
    "packets": ["experiment=cora", "until_s=0.02"],
    "epochs": ["experiment=cora_runtime", "until_s=3.0"],
    "fleet": ["experiment=fleet"],
}


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of systems that serve no requests."""
    base = tmp_path_factory.mktemp("others")
    for name, words in OTHERS.items():
        run(compose(words), base / name)
    return {name: base / name for name in OTHERS}


@pytest.mark.parametrize(
    ("name", "figures", "says"),
    [
        ("jobs", 4, ["home: jobs", "finished, of 3", "Each job by arrival"]),
        ("no job", 2, ["No job had a GPU."]),
        ("packets", 4, ["bound by NIC", "Nothing was counted by epoch", "Latency by class"]),
        ("epochs", 5, ["One plan for all of the run", "3.00 s simulated", "have no latencies"]),
        ("fleet", 4, ["Carbon by year", "bought; 0 moved on"]),
    ],
)
def test_other_systems_have_figures(
    name: str, figures: int, says: list[str], others: dict[str, Path]
) -> None:
    page = Page(write_report(others[name]))
    assert len(page.figures) == figures
    assert len(page.ids) == len(set(page.ids))
    for words in says:
        assert words in page.text
    assert not {"nan", "NaN", "None", "inf"} & set(page.text.replace("\n", " ").split())
    assert ("Carbon by site and tenant" in page.text) == (name != "fleet")


def test_gpus_of_jobs_by_hand() -> None:
    stints = {
        "start_s": np.array([1.0, 2.0, 4.0]),
        "end_s": np.array([3.0, 4.0, 5.0]),
        "gpus": np.array([2, 1, 4]),
    }
    edges, held = jobs.held(stints, np.array([True, True, True]), 6.0)
    assert dict(zip(edges[:-1], held, strict=True)) == {0: 0, 1: 2, 2: 3, 3: 1, 4: 4, 5: 0}
    edges, held = jobs.held(stints, np.array([True, False, True]), 6.0)
    assert dict(zip(edges[:-1], held, strict=True)) == {0: 0, 1: 2, 3: 0, 4: 4, 5: 0}


def test_the_gpu_time_of_jobs_adds_up(others: dict[str, Path]) -> None:
    result = Result.read(others["jobs"])
    stints = jobs.read(SystemRun(result, "jobs"), "jobs_runs", ("start_s", "end_s", "gpus"))
    every = np.ones(len(stints["gpus"]), dtype=bool)
    edges, held = jobs.held(stints, every, result.number("simulated_s"))
    assert held @ np.diff(edges) == pytest.approx(result.number("jobs.gpu_s"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", None),
        ("summary.json", b"{"),
        ("summary.json", b"[]"),
        ("provenance.json", None),
        ("provenance.json", b"\xff"),
        ("requests.parquet", b"no parquet"),
        ("series.parquet", b""),
        (".hydra/config.yaml", b"a: [1"),
        (".hydra/config.yaml", b"- 1"),
        (".hydra/config.yaml", b"\xff\xfe\xff"),
        (".hydra/overrides.yaml", b"a: [1"),
    ],
)
def test_a_broken_folder_names_the_file(name: str, content: bytes | None, folder: Path) -> None:
    path = folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        write_report(folder)
    assert str(path) in str(caught.value)
    assert not (folder / "report.html").exists()


def test_a_missing_column_and_a_missing_folder_are_named(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "requests.parquet").drop_columns(["ttft_s"])
    pq.write_table(table, folder / "requests.parquet")
    with pytest.raises(ConfigError, match=r"requests\.parquet: has no column 'ttft_s'"):
        write_report(folder)
    with pytest.raises(ConfigError, match="nowhere"):
        write_report(tmp_path / "nowhere")


def test_what_stands_in_a_figure_is_read_in_full_and_settings_are_those_taken(
    tmp_path: Path,
) -> None:
    """Decimals are cut in coordinates alone: grams of a short run are no 0.00."""
    words = ["experiment=cora", "until_s=0.02", "simulation.seed=3"]
    run(compose(words), tmp_path / "run")
    page = Page(write_report(tmp_path / "run"))
    (ticks,) = (each for each in page.source.split("<figure") if "Carbon of the cluster" in each)
    labels = re.findall(r">(0\.0[0-9]*)</text>", ticks)
    assert len(set(labels)) == len(labels) > 2
    assert "seed 3" in page.text


def test_the_old_page_stays_when_the_new_one_cannot_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "report.html").write_text("old")

    def refuse(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(ConfigError, match=r"report\.html: cannot be written: No space left"):
        write_report(folder)
    assert (folder / "report.html").read_text() == "old"
    assert not list(folder.glob(".report*"))


@pytest.mark.parametrize("name", ["plain", "none finished"])
def test_the_picture_is_a_small_png(name: str, folders: dict[str, Path]) -> None:
    png = picture(folders[name])
    assert png.startswith(b"\x89PNG")
    assert (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (1000, 600)
    assert len(png) < 150_000


def test_matplotlib_waits_and_pyplot_is_left_alone(folders: dict[str, Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from experiments.report import write_report\n"
        "assert not {'matplotlib', 'pandas', 'jinja2'} & set(sys.modules)\n"
        f"write_report(Path({str(folders['one request'])!r}))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (seconds(None), "\u2013"),
        (seconds(float("nan")), "\u2013"),
        (seconds(0.0), "0 s"),
        (seconds(0.0123456), "12.3 ms"),
        (seconds(0.99999), "1.00 s"),
        (seconds(1234.5), "1,234 s"),
        (seconds(4.56e-5), "45.6 µs"),
        (number(12345), "12,345"),
        (number(0.12345), "0.123"),
        (percent(0.0), "0 %"),
        (percent(0.00001), "< 0.1 %"),
        (percent(0.1234), "12 %"),
        (percent(0.0456), "4.6 %"),
        (percent(0.997), "99.7 %"),
        (percent(0.99999), "> 99.9 %"),
        (percent(1.0), "100 %"),
        (percent(1.234), "123 %"),
        (amount(228347.7, "J"), "228 kJ"),
        (amount(0.319, "J"), "0.319 J"),
        (amount("words", "J"), "\u2013"),
    ],
)
def test_formats(shown: str, text: str) -> None:
    assert shown == text
