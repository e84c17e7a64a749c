"""The ledger: every joule and every gram of a run, by site, part, tenant and account."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from models.carbon.catalogue import EmbodiedCatalogue
from models.carbon.units import S_PER_YEAR
from sim.carbon import methods
from sim.carbon.consumers import Consumers, Metered
from sim.carbon.figures import Totals, summarise
from sim.carbon.parts import IDLE, Claim, Drawn, Owners, Part, part_of_links, parts_of_node
from sim.carbon.sites import Sites, SitesSettled
from sim.core.errors import ConfigError
from sim.core.simulation import Simulation
from sim.hardware.facts import HoldersChanged
from sim.hardware.metering import MeterOpened, StepUse

COLUMNS = {
    "start_s": "float64",
    "end_s": "float64",
    "site": "string",
    "component": "string",
    "tenant": "string",
    "account": "string",
    "energy_j": "float64",
    "operational_g": "float64",
    "embodied_g": "float64",
}
#: The account of what a tenant has without using it.
UNUSED = "idle"
#: The account of work that no meter says more of.
WORK = "work"


class Ledger:
    """Observes the sites' steps, and books for each what every part drew and what its making
    costs over the step, each gram once.

    A part's work goes to whom it was done for; its idle draw and its making to who holds it (a
    host by its GPUs, one without any by the use of its processors), and what nobody holds to the
    tenant `idle` (usage and reservation, after Google's method). `requests`: tenants that can tell
    open meters, by which their accounts go on to prompts, answers and single requests.
    `age_years`: of the hardware when the run begins.

    Energy is that of the computers; operational carbon is what the site emits for it, PUE included.
    """

    def __init__(
        self, embodied: EmbodiedCatalogue, requests: bool = False, age_years: float = 0.0
    ) -> None:
        if not 0.0 <= age_years < float("inf"):
            raise ConfigError(f"carbon.age_years is {age_years!r}; it must be finite and >= 0")
        self.embodied = embodied
        self.requests = requests
        self.age_s = age_years * S_PER_YEAR
        self.totals = Totals()
        self._opened: list[MeterOpened] = []
        self._parts: list[Part] = []
        self._closed = False
        self._slots: list[methods.Slot] = []

    def attach(self, simulation: Simulation) -> None:
        """Listen. Raises ConfigError where there are no sites."""
        if simulation.sites is None:
            raise ConfigError("carbon: needs sites; choose sites=gb_like, or carbon=none")
        self._simulation = simulation
        self._sites: Sites = simulation.sites
        simulation.facts.subscribe(SitesSettled, self._settled)
        if self.requests:
            simulation.facts.subscribe(MeterOpened, self._opened.append)
        simulation.on_started(self._begin)

    def _begin(self) -> None:
        """All systems have started: look at what there is."""
        simulation = self._simulation
        cluster = simulation.cluster
        assert cluster is not None
        now = simulation.now
        systems = [system.name for system in simulation.systems]
        owners = Owners(cluster, systems, self._opened)
        for at, nodes in enumerate(self._sites.nodes):
            for node in nodes:
                self._parts += parts_of_node(at, node, owners, self.embodied, now, self.age_s)
            self._parts.append(part_of_links(at, self._sites.links[at], now))
        self._table = simulation.results.table("carbon", COLUMNS)
        self._names = [site.name for site in self._sites.sites]
        tenants = [owners.tenant(opened.tenant) for opened in self._opened]
        self._consumers = Consumers(simulation.results, tenants) if self._opened else None
        self._since_s = now
        simulation.facts.subscribe(HoldersChanged, self._holders_changed)

    def _holders_changed(self, fact: HoldersChanged) -> None:
        """At the very start of a step nothing is settled, but others hold from then on."""
        if fact.time_s == self._since_s:
            self._simulation.sample(fact.time_s, self._look_anew)

    def _look_anew(self, now_s: float) -> None:
        if now_s == self._since_s:
            for part in self._parts:
                part.look_anew()

    def _settled(self, fact: SitesSettled) -> None:
        start_s, end_s, settled = fact
        self._since_s = end_s
        self._closed = last = self._simulation.over
        uses = [opened.meter.close_step(end_s, last) for opened in self._opened]
        factors = [step.total_g / step.it_j if step.it_j > 0.0 else 0.0 for step in settled]
        self.totals.settle(self._sites.sites, fact)
        books: dict[tuple[int, str, str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        metered = [Metered() for _ in self._opened]
        slot = methods.Slot(end_s - start_s)
        self._slots.append(slot)
        for part in self._parts:
            drawn = part.step(end_s)
            self._book(books, metered, slot, part, drawn, factors[part.site], uses)
        append = self._table.append
        for (site, component, tenant, account), (energy_j, operational_g, embodied_g) in sorted(
            books.items()
        ):
            self.totals.add(component, tenant, account, energy_j, operational_g, embodied_g)
            append(
                (
                    start_s,
                    end_s,
                    self._names[site],
                    component,
                    tenant,
                    account,
                    energy_j,
                    operational_g,
                    embodied_g,
                )
            )
        self._table.flush_when_full()
        if self._consumers is not None:
            self._consumers.step(uses, metered, end_s - start_s)

    def _book(
        self,
        books: dict[tuple[int, str, str, str], list[float]],
        metered: Sequence[Metered],
        slot: methods.Slot,
        part: Part,
        drawn: Drawn,
        g_per_j: float,
        uses: Sequence[StepUse],
    ) -> None:
        where = part.site, part.component
        for claim, share in drawn.used.items():
            energy_j = share * drawn.dynamic_j
            if not energy_j:
                continue
            slot.work(claim.tenant, energy_j, energy_j * g_per_j)
            if claim.meter >= 0:
                metered[claim.meter].work_j += energy_j
                metered[claim.meter].work_g += energy_j * g_per_j
            for account, part_of in _by_work(claim, uses):
                entry = books[*where, claim.tenant, account]
                entry[0] += part_of * energy_j
                entry[1] += part_of * energy_j * g_per_j
        for claim, share in drawn.held.items():
            energy_j = share * drawn.standing_j
            embodied_g = share * drawn.embodied_g
            slot.hold(claim.tenant, energy_j * g_per_j + embodied_g)
            if claim.meter >= 0:
                took = metered[claim.meter]
                took.held_j += energy_j
                took.held_g += energy_j * g_per_j
                took.embodied_g += embodied_g
            for account, part_of in _by_holding(claim, uses, slot.lasted_s):
                entry = books[*where, claim.tenant, account]
                entry[0] += part_of * energy_j
                entry[1] += part_of * energy_j * g_per_j
                entry[2] += part_of * embodied_g

    def finish(self, results: Any) -> None:
        """Figures of the run. Raises LawBroken where a joule or a gram is missing."""
        simulation, consumers = self._simulation, self._consumers
        now = simulation.now
        if consumers is not None and not self._closed:
            # The last step ended with the run: who is still there has not been told yet.
            uses = [opened.meter.close_step(now, True) for opened in self._opened]
            consumers.step(uses, [Metered() for _ in uses], 0.0)
        self._table.write()
        assert simulation.cluster is not None
        energy_j = simulation.cluster.energy_j(now)
        summarise(results, energy_j, now, self._sites.sites, self.totals)
        if consumers is not None:
            consumers.close(results)
            for slot, kinds in zip(self._slots, consumers.kinds, strict=False):
                for tenant in set(consumers.tenants):
                    own = {kind: sums for (name, kind), sums in kinds.items() if name == tenant}
                    slot.split(
                        tenant,
                        {_user(tenant, kind): work_j for kind, (work_j, _) in own.items()},
                        {_user(tenant, kind): held_g for kind, (_, held_g) in own.items()},
                    )
        methods.write(results, self._slots)


def _user(tenant: str, kind: str) -> str:
    return f"{tenant}/{kind or 'requests'}"


def _by_work(claim: Claim, uses: Sequence[StepUse]) -> list[tuple[str, float]]:
    """Accounts that a tenant's work goes to, and what part of it."""
    if claim.meter < 0:
        return [(WORK, 1.0)]
    active = uses[claim.meter].active_s
    total = sum(active.values())
    if not total > 0.0:
        return [(WORK, 1.0)]
    return [(account, seconds / total) for account, seconds in active.items() if seconds]


def _by_holding(claim: Claim, uses: Sequence[StepUse], lasted_s: float) -> list[tuple[str, float]]:
    """Accounts that what a tenant holds goes to, and what part of it."""
    if claim.meter < 0 or claim.tenant == IDLE:
        return [(UNUSED, 1.0)]
    held = [(a, seconds / lasted_s) for a, seconds in uses[claim.meter].held_s.items() if seconds]
    return [*held, (UNUSED, 1.0 - sum(share for _, share in held))]
