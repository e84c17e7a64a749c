"""Figures of a run's energy and carbon, and the check that no gram is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import fsum
from typing import Any

from models.carbon.matching import annual_g
from models.carbon.metrics import Footprint
from sim.carbon.netting import SiteSettled
from sim.carbon.site import Site
from sim.core.errors import LawBroken
from sim.core.result import Value

#: How far two ways to the same sum may lie apart.
_TOLERANCE = 1e-9
#: Joules and grams too few to be told from none.
_NOTHING = 1e-30

#: Sums of energy in joules, of operational and of embodied grams.
Sums = list[float]


class Totals:
    """Sums over a run's steps: of the books, and of what the sites say."""

    def __init__(self) -> None:
        self.by_component: dict[str, Sums] = defaultdict(lambda: [0.0, 0.0, 0.0])
        self.by_account: dict[tuple[str, str], Sums] = defaultdict(lambda: [0.0, 0.0, 0.0])
        #: By site: its periods.
        self.periods: dict[int, list[SiteSettled]] = defaultdict(list)

    def add(
        self,
        component: str,
        tenant: str,
        account: str,
        energy_j: float,
        operational_g: float,
        embodied_g: float,
    ) -> None:
        """An entry of the books."""
        for sums in (self.by_component[component], self.by_account[tenant, account]):
            sums[0] += energy_j
            sums[1] += operational_g
            sums[2] += embodied_g

    def settle(self, fact: SiteSettled) -> None:
        """The supply of a site's period."""
        self.periods[fact.site].append(fact)

    def of_tenant(self, tenant: str) -> Sums:
        """All accounts of a tenant."""
        own = [sums for (name, _), sums in self.by_account.items() if name == tenant]
        return [fsum(sums[i] for sums in own) for i in range(3)]

    def whole(self) -> Sums:
        """All that is booked."""
        return [fsum(sums[i] for sums in self.by_account.values()) for i in range(3)]

    def check(self, energy_j: float) -> None:
        """Raises LawBroken unless the books hold all energy of the cluster and all that the sites
        have emitted."""
        booked_j, booked_g, _ = self.whole()
        emitted_g = fsum(one.settled.total_g for own in self.periods.values() for one in own)
        for what, booked, known in (
            ("J of energy", booked_j, energy_j),
            ("g of operation", booked_g, emitted_g),
        ):
            if abs(booked - known) > max(_TOLERANCE * known, _NOTHING):
                raise LawBroken(f"carbon: {booked!r} {what} are booked, {known!r} were drawn")


def summarise(
    results: Any, energy_j: float, simulated_s: float, sites: Sequence[Site], totals: Totals
) -> None:
    """Figures of the whole, of each site and of each tenant."""
    totals.check(energy_j)
    it_j, operational_g, embodied_g = totals.whole()
    whole = Footprint(operational_g=operational_g, embodied_g=embodied_g, it_energy_j=it_j)
    # What the computers draw is the run's `energy_j`; carbon is of this, with PUE in it.
    periods = [one.settled for own in totals.periods.values() for one in own]
    results.figure("facility_energy_j", fsum(settled.load_j for settled in periods))
    results.figure("carbon_g", whole.total_g)
    results.figure("carbon.operational_g", operational_g)
    results.figure("carbon.embodied_g", embodied_g)
    results.figure("carbon.embodied_share", whole.embodied_share if whole.total_g else None)
    results.figure("carbon.cue_kg_per_kwh", whole.cue_kg_per_kwh if it_j else None)
    results.figure("carbon.tcdp_gs", whole.tcdp(simulated_s))
    for component, sums in sorted(totals.by_component.items()):
        results.figure(f"carbon_g.{component}", sums[1] + sums[2])
    for i, site in enumerate(sites):
        results.figures(f"sites.{site.name}", _site(site, totals.periods[i]))
    for tenant in sorted({name for name, _ in totals.by_account}):
        results.figures(tenant, _tenant(tenant, totals, results.summary))


def _site(site: Site, periods: Sequence[SiteSettled]) -> dict[str, Value]:
    """Figures of a site. `operational_g` has all that supplying it emitted: the grid, making the
    farms, making the battery."""
    steps = [period.settled for period in periods]
    figures: dict[str, Value] = {
        "it_energy_j": fsum(settled.it_j for settled in steps),
        "energy_j": fsum(settled.load_j for settled in steps),
        "operational_g": fsum(settled.total_g for settled in steps),
    }
    if not steps:
        return figures
    seconds = fsum(period.end_s - period.start_s for period in periods)
    mean = fsum(p.mean_g_per_kwh * (p.end_s - p.start_s) for p in periods) / seconds
    figures["intensity_g_per_kwh.mean"] = mean
    if site.farms and figures["energy_j"]:
        load_j = fsum(settled.load_j for settled in steps)
        curtailed_j = fsum(settled.curtailed_j for settled in steps)
        farm_j = fsum(settled.matched_j + settled.charged_j for settled in steps) + curtailed_j
        # A battery is filled by farms alone.
        served_j = fsum(settled.matched_j + settled.discharged_j for settled in steps)
        figures["location_g"] = fsum(period.location_g for period in periods)
        figures["annual_matching_g"] = annual_g(load_j, farm_j, mean)
        figures["annual_share"] = min(1.0, farm_j / load_j)
        figures["coverage"] = served_j / load_j
        figures["curtailed_j"] = curtailed_j
    if site.battery is not None:
        for key in ("charged_j", "discharged_j"):
            figures[f"battery.{key}"] = fsum(getattr(settled, key) for settled in steps)
        figures["battery.wear_g"] = fsum(settled.wear_g for settled in steps)
        figures["battery.content_j"] = site.store.content_j
        figures["battery.content_g"] = site.store.content_g
    return figures


def _tenant(tenant: str, totals: Totals, summary: dict[str, Value]) -> dict[str, Value]:
    """Carbon of a tenant, and for a job, a request and a thousand tokens where its summary counts
    them."""
    energy_j, operational_g, embodied_g = totals.of_tenant(tenant)
    prefilled = _count(summary, tenant, "prefill_tokens")
    footprint = Footprint(
        operational_g=operational_g,
        embodied_g=embodied_g,
        it_energy_j=energy_j,
        requests=_count(summary, tenant, "requests_finished"),
        prefill_tokens=max(0, prefilled - _count(summary, tenant, "recomputed_tokens")),
        decode_tokens=_count(summary, tenant, "output_tokens"),
    )
    figures: dict[str, Value] = {
        "carbon_g": footprint.total_g,
        "carbon.operational_g": operational_g,
        "carbon.embodied_g": embodied_g,
        "carbon.it_energy_j": energy_j,
    }
    jobs = _count(summary, tenant, "jobs_finished")
    if jobs:
        figures["carbon_per_job_g"] = footprint.total_g / jobs
    if f"{tenant}.requests_finished" not in summary:
        return figures
    figures["carbon_per_request_g"] = footprint.g_per_request if footprint.requests else None
    tokens = footprint.prefill_tokens + footprint.decode_tokens
    figures["carbon_per_1k_tokens_g"] = footprint.g_per_1k_tokens if tokens else None
    accounts = {
        account: sums[1] + sums[2]
        for (name, account), sums in totals.by_account.items()
        if name == tenant
    }
    # Rounding may leave a part of nothing below 0.
    prefill, decode = (max(0.0, accounts.get(phase, 0.0)) for phase in ("prefill", "decode"))
    if prefill + decode > 0.0 and footprint.prefill_tokens and footprint.decode_tokens:
        prefill_g = footprint.total_g * prefill / (prefill + decode)
        for_prompts, for_answers = footprint.g_per_1k_by_phase(prefill_g)
        figures["carbon_per_1k_prefill_tokens_g"] = for_prompts
        figures["carbon_per_1k_decode_tokens_g"] = for_answers
    return figures


def _count(summary: dict[str, Value], tenant: str, key: str) -> int:
    value = summary.get(f"{tenant}.{key}")
    return value if isinstance(value, int) else 0
