"""Host cores at equal throughput: what each way to cut saves, by the model and in packets."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from experiments.reproduce.accepted import Band, Finding, Table
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.cora.plans import (
    AGILIO,
    BLUEFIELD,
    BY_STATE,
    BY_TRAFFIC,
    CORA,
    CPU_ONLY,
    PROGRAMS,
    best_plans,
    cpu_only,
    saving,
    traffic,
)
from experiments.reproduce.papers.cora.points import Case, Point, parts, simulate
from experiments.reproduce.papers.cora.reference import (
    BEST,
    CORES,
    CYCLES,
    LONG,
    SAVINGS,
    TRAFFIC,
)
from experiments.reproduce.runs import mean_interval
from experiments.reproduce.workers import Workers
from policies.partition.goals import FewestCores
from sim.dataplane.copies import merged

SEEDS = (1, 2, 3)
_BURSTS = 16_000
#: Seconds that each plan is followed in rates, many times what the longest queue lasts.
_FOLLOWED_S = 0.5
#: Of host cores, so many at work are compared in rates and in packets.
_AT_WORK = 0.05
_CUTS = (BY_STATE, BY_TRAFFIC, CORA)


class Use(NamedTuple):
    """Of a plan at the rate of its traffic: busy cores of the host, utilisation of the NIC's, and
    the share of packets dropped."""

    cores: float
    nic: float
    dropped: float


class Saved(NamedTuple):
    """A plan in packets, by seed, and for longer in rates; what the model says that it saves, in
    percent of the cores."""

    sides: str
    modelled: float
    packets: list[Use]
    rates: Use

    @property
    def cores(self) -> list[float]:
        """Busy cores of the host, by seed."""
        return [use.cores for use in self.packets]

    @property
    def dropped(self) -> list[float]:
        """Share of packets dropped in packets or in rates, by seed. Queues that last longer than
        packets are followed drop nothing, though more comes than is served; rates do."""
        return [max(use.dropped, self.rates.dropped) for use in self.packets]


#: By NIC, traffic, program and way.
Savings = dict[tuple[str, str, str, str], Saved]


def cases(full: bool) -> dict[tuple[str, str, str], Case]:
    """What is compared, by NIC, traffic and program: for the BlueField-2 at 80 % of its own line,
    100 Gb/s."""
    found = {}
    for name, (length, exponent) in TRAFFIC.items():
        for nic in (AGILIO, BLUEFIELD) if full or name == LONG else (AGILIO,):
            profile = traffic(nic, length, exponent)
            for program in PROGRAMS if full or nic == BLUEFIELD else SAVINGS[name]:
                found[nic, name, program] = Case(program, nic, profile)
    return found


def run(task: tuple[Point, int]) -> Use:
    """A plan in packets."""
    point, seed = task
    return _use(point, bursts=_BURSTS, seed=seed)


def follow(point: Point) -> Use:
    """A plan in rates, without the merges of counters that both sides keep: those come each epoch,
    and packets are followed for less."""
    packets = round(_FOLLOWED_S * point.profile.rate_pps)
    use = _use(point, burst=1, bursts=packets, rates=True)
    settings = parts(point.nic)["traffic_monitor"]
    entries, _ = merged(point.model(), point.cost().plan)
    cycles_per_s = entries * settings.merge_cycles / settings.interval_s
    return use._replace(cores=use.cores - cycles_per_s / parts(point.nic)["node"].host_cpu.clock_hz)


def _use(point: Point, **settings: Any) -> Use:
    found = simulate(point, point.profile.rate_pps, fixed_cores=None, **settings)
    # Work of each packet, so that seeds with more packets cost no more.
    scale = point.profile.rate_pps / (found["offered_mpps"] * 1e6)
    nic = found["utilisation.cores"] * scale
    return Use(found["busy_cores"] * scale, nic, found["drop_share"])


def study(workers: Workers) -> Savings:
    """The best plan of each way, each different one simulated once in packets and in rates."""
    points: dict[tuple[str, str, str, str], tuple[Point, float, str]] = {}
    for key, case in cases(workers.full).items():
        for way, cost in best_plans(case, FewestCores()).items():
            points[(*key, way)] = (case.under(cost.plan), saving(case, cost), cost.plan.sides)
    different = list(dict.fromkeys(point for point, _, _ in points.values()))
    tasks = [(point, seed) for point in different for seed in SEEDS]
    found = dict(zip(tasks, workers.map(run, tasks), strict=True))
    rates = dict(zip(different, workers.map(follow, different), strict=True))
    return {
        key: Saved(sides, modelled, [found[point, seed] for seed in SEEDS], rates[point])
        for key, (point, modelled, sides) in points.items()
    }


def simulated(found: Savings, key: tuple[str, str, str, str]) -> Estimate:
    """Percent of the cores that a way saves in packets, seed by seed; nothing where it, or the
    host alone, drops packets: then throughput is not equal."""
    alone, way = found[(*key[:3], CPU_ONLY)], found.get(key)
    if way is None:
        return Estimate.exact(0.0)
    pairs = zip(alone.cores, way.cores, alone.dropped, way.dropped, strict=True)
    return mean_interval(
        [0.0 if lost or gone else 100.0 * (1.0 - b / a) for a, b, gone, lost in pairs]
    )


def _published() -> dict[str, float]:
    return {
        f"{program}, {name}, {way}": value
        for name, programs in SAVINGS.items()
        for program, values in programs.items()
        for way, value in zip(_CUTS, values, strict=True)
    }


def _table(found: Savings, in_packets: bool) -> dict[str, Estimate]:
    """Savings on the Agilio that the table has."""
    entries = {}
    for name, programs in SAVINGS.items():
        for program in programs:
            for way in _CUTS:
                key = (AGILIO, name, program, way)
                value = found[key].modelled
                entries[f"{program}, {name}, {way}"] = (
                    simulated(found, key) if in_packets else Estimate.exact(value)
                )
    return entries


def _long(nic: str, program: str) -> Case:
    return Case(program, nic, traffic(nic))


def _cycles(found: Savings) -> dict[str, Estimate]:
    del found
    return {p: Estimate.exact(cpu_only(_long(AGILIO, p)).host_cycles) for p in PROGRAMS}


def _cores(found: Savings) -> dict[str, Estimate]:
    """In packets."""
    return {p: mean_interval(found[AGILIO, LONG, p, CPU_ONLY].cores) for p in PROGRAMS}


def _best(found: Savings) -> Estimate:
    same = [found[AGILIO, *key, CORA].sides == sides for key, sides in BEST.items()]
    return Estimate.exact(sum(same))


def _most_dropped(found: Savings) -> Estimate:
    by_seed = zip(*(saved.dropped for saved in found.values()), strict=True)
    return mean_interval([100.0 * max(shares) for shares in by_seed])


def _apart(found: Savings) -> Estimate:
    """Furthest that model and packets are apart."""
    apart = [
        [abs(value - saved.modelled) for value in simulated(found, key).samples]
        for key, saved in found.items()
        if key[3] != CPU_ONLY
    ]
    return mean_interval([max(values) for values in zip(*apart, strict=True)])


def _rates_apart(found: Savings) -> Estimate:
    """Furthest that cores at work in rates are from those in packets, means of the seeds, in
    percent: of the host where there are some, and of the NIC."""
    furthest = 0.0
    for saved in found.values():
        for followed, packets in (
            (saved.rates.cores, saved.cores),
            (saved.rates.nic, [use.nic for use in saved.packets]),
        ):
            mean = sum(packets) / len(packets)
            if mean >= _AT_WORK:
                furthest = max(furthest, 100.0 * abs(followed / mean - 1.0))
    return Estimate.exact(furthest)


def _by_program(found: Savings, nic: str, ways: Iterable[str]) -> dict[str, Estimate]:
    return {
        f"{program}, {way}": simulated(found, (nic, LONG, program, way))
        for program in PROGRAMS
        for way in ways
    }


def _largest(found: Savings, nic: str) -> Estimate:
    values = _by_program(found, nic, (CORA,)).values()
    return max(values, key=lambda one: one.value)


SAVED = Study("cores", study)
_OWN = "not in the paper: a reference worked out apart from this code"

CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="host-cycles",
        where=_OWN,
        what="cycles of a host core for each packet without the NIC, eight functions, by the model",
        published="442.6 to 1,054.7",
        accepted=Table(CYCLES, relative=0.01),
        study=SAVED,
        measure=_cycles,
        unit="cycles",
    ),
    Claim(
        id="host-cores",
        where=_OWN,
        what="busy host cores without the NIC at 14.49 Mpkt/s, in packets",
        published="2.57 to 6.11",
        accepted=Table(CORES, relative=0.03),
        study=SAVED,
        measure=_cores,
        unit="cores",
    ),
    Claim(
        id="savings-model",
        where=_OWN,
        what="host cores saved on the Agilio at 80 % of 40 Gb/s by the best plan of each way to "
        "cut, with flows of 80 and 20 packets and Zipf exponents of 1.0 and 1.2, by the model",
        published="7.6 to 97.5 %",
        accepted=Table(_published(), absolute=3.0),
        study=SAVED,
        measure=partial(_table, in_packets=False),
        unit="%",
    ),
    Claim(
        id="savings-packets",
        where=_OWN,
        what="the same in packets; a plan that drops one is credited with nothing",
        published="7.6 to 97.5 %",
        accepted=Table(_published(), absolute=3.0),
        study=SAVED,
        measure=partial(_table, in_packets=True),
        unit="%",
    ),
    Claim(
        id="best-plans",
        where=_OWN,
        what="of nine best plans, those with each state on the side that it should be on",
        published="9",
        accepted=Band(9.0, 9.0),
        study=SAVED,
        measure=_best,
        note="Eight functions with flows of 80 packets, and the UPF with flows of 20: its rules "
        "split by flow, meters and counters of all flows on the NIC, which is in neither naive "
        "family",
    ),
    Claim(
        id="no-drops",
        where="abstract: same throughput",
        what="largest share of packets dropped by any of these plans at that rate, in packets or "
        "in half a second of rates",
        published="0",
        accepted=Band(0.0, 0.0),
        study=SAVED,
        measure=_most_dropped,
        unit="%",
    ),
    Claim(
        id="savings-apart",
        where="abstract: an accurate performance model",
        what="furthest that savings by the model and in packets are apart, both NICs",
        published="accurate",
        accepted=Band(high=3.0),
        study=SAVED,
        measure=_apart,
        unit="points",
    ),
    Claim(
        id="rates-as-packets",
        where="not in the paper: minutes of traffic are followed in rates",
        what="furthest that cores at work, of the host and of the NIC, are in rates from those in "
        "packets, these plans on both NICs",
        published="the same",
        accepted=Band(high=5.0),
        study=SAVED,
        measure=_rates_apart,
        unit="%",
    ),
    Claim(
        id="largest-saving",
        where="abstract",
        what="largest share of host cores that Cora saves at equal throughput, of eight functions "
        "on the Agilio, flows of 80 packets",
        published="up to 94.0 %",
        accepted=Band(91.0, 97.0),
        study=SAVED,
        measure=partial(_largest, nic=AGILIO),
        unit="%",
        reason="What is left is first and last packets of flows, 2 in 80 here: the saving is set "
        "by the length of flows. With flows of 20 packets the largest is 90 %; the paper's traffic "
        "and functions are not known, and costs are not fitted to it",
    ),
    Claim(
        id="bluefield",
        where="abstract",
        what="host cores saved on the BlueField-2 at 80 % of 100 Gb/s, in packets",
        published="up to 94.0 %",
        accepted=Finding(),
        study=SAVED,
        measure=partial(_by_program, nic=BLUEFIELD, ways=_CUTS),
        unit="%",
        note="Its cores can insert entries, so that all of a function may run there: of eight, "
        "only the UPF is too much for them at 36 Mpkt/s",
    ),
]
