"""The cost model against the simulator: highest rates, host cores, utilisation of the NIC.

`python -m experiments.reproduce.papers.cora.model_error` prints the table.
"""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

from experiments.reproduce.papers.cora.plans import NICS, PROGRAMS
from experiments.reproduce.papers.cora.points import (
    BURSTS,
    LOAD,
    Case,
    Point,
    highest_pps,
    random_plan,
    simulate,
    window_of,
)
from experiments.reproduce.workers import Workers
from models.network_functions.plan import SPLIT
from models.network_functions.traffic import TrafficProfile
from policies.partition.goals import HighestRate
from policies.partition.search import BranchAndBound

#: Flows, Zipf exponent, packets of a flow, bytes of a packet.
PROFILES = (
    (1e6, 0.8, 10.0, 128.0),
    (1e5, 1.2, 20.0, 64.0),
    (1e6, 1.0, 80.0, 64.0),
    (1e6, 1.0, 20.0, 256.0),
)
SEEDS = (1, 2, 3)
_NUMBERS = (1e3, 1e4, 1e5, 5e5)


class Compared(NamedTuple):
    """Predicted and simulated: highest rates (asymptotic, MVA, simulated; packets a second), host
    cores and the busiest resource of the NIC at a lower rate, the latter without the insertion
    channel's and in the NIC's own terms. own_cores: simulated with caches that hold popular flows.
    """

    point: Point
    binding: str
    asymptotic_pps: float
    mva_pps: float
    simulated_pps: float
    cores: float
    simulated_cores: float
    own_cores: float
    busiest: str
    utilisation: float
    simulated_utilisation: float

    @property
    def rate_error(self) -> float:
        """Of the asymptotic highest rate, relative to the simulated."""
        return self.asymptotic_pps / self.simulated_pps - 1.0

    @property
    def mva_error(self) -> float:
        """Of the highest rate by mean value analysis."""
        return self.mva_pps / self.simulated_pps - 1.0

    @property
    def cores_error(self) -> float:
        """Of host cores; 0 where there is hardly any work."""
        if self.simulated_cores < 0.01:
            return 0.0
        return self.cores / self.simulated_cores - 1.0

    @property
    def own_error(self) -> float:
        """Of host cores, with caches that hold popular flows."""
        if self.own_cores < 0.01:
            return 0.0
        return self.cores / self.own_cores - 1.0

    @property
    def utilisation_error(self) -> float:
        """Of the busiest resource."""
        return self.utilisation / self.simulated_utilisation - 1.0


def points(profiles: int = len(PROFILES)) -> list[Point]:
    """For every program, NIC and profile, the fastest plan and one drawn at random."""
    found = []
    for seed, (name, nic) in enumerate((p, n) for p in PROGRAMS for n in NICS):
        for flows, exponent, length, size in PROFILES[:profiles]:
            profile = TrafficProfile(
                flows=flows,
                zipf_exponent=exponent,
                packets_per_flow=length,
                packet_bytes=size,
                rate_pps=1e6,
            )
            case = Case(name, nic, profile)
            best = BranchAndBound(case.model(), HighestRate(32), refine=False).run().cost
            assert best is not None
            if all(best.plan.on_nic):
                found.append(case.under(best.plan))
            found.append(random_plan(name, nic, profile, _NUMBERS, seed))
    return found


def compare(task: tuple[Point, int]) -> Compared:
    """Runs of one plan on one seed: as fast as it can be, and at a lower rate with both kinds of
    caches at the host."""
    point, seed = task
    cost, mva = point.cost(), point.cost("mva")
    highest = highest_pps(cost)
    binding = cost.binding() if cost.nic_s >= cost.host_s / 32 else "host cores"
    # Few packets insert: where these bind, more packets say it as well.
    bursts = BURSTS * (6 if binding == "inserts" else 1)
    fast = simulate(point, highest, window=window_of(point), bursts=bursts, seed=seed)
    rate = LOAD * highest
    slow = simulate(point, rate, bursts=bursts, seed=seed)
    # Without a split the host sees flows of all popularity.
    own = simulate(point, rate, own_caches=True, seed=seed) if SPLIT in point.sides else slow
    predicted = cost.utilisations(rate)
    pcie = max(predicted.pop("pcie bytes"), predicted.pop("pcie packets"))
    wire = max(predicted.pop("mac"), predicted.pop("line"))
    predicted |= {"pcie up": pcie, "wire": wire}
    busiest = max(predicted, key=lambda key: predicted[key])
    return Compared(
        point=point,
        binding=binding,
        asymptotic_pps=highest,
        mva_pps=highest_pps(mva),
        simulated_pps=fast["throughput_mpps"] * 1e6,
        cores=cost.busy_cores(rate),
        simulated_cores=slow["busy_cores"],
        own_cores=own["busy_cores"],
        busiest=busiest,
        utilisation=predicted[busiest],
        simulated_utilisation=slow[f"utilisation.{busiest.replace(' ', '_')}"],
    )


def study(workers: Workers) -> list[list[Compared]]:
    """All points, by seed; of two of the profiles unless the workers are to do all."""
    made = points(len(PROFILES) if workers.full else 2)
    found = workers.map(compare, [(point, seed) for seed in SEEDS for point in made])
    return [found[i * len(made) : (i + 1) * len(made)] for i in range(len(SEEDS))]


def errors(found: list[Compared], attribute: str) -> tuple[float, float]:
    """Mean and worst absolute error."""
    values = [abs(getattr(each, attribute)) for each in found]
    return sum(values) / len(values), max(values)


def table(found: list[Compared]) -> str:
    """The comparison as text."""
    lines = [
        f"{'program':14}{'NIC':12}{'N':>6}{'a':>5}{'L':>4}{'B':>5} {'plan':12}{'binding':14}"
        f"{'model':>7}{'MVA':>7}{'sim':>7}{'err %':>7}{'MVA %':>7}{'cores':>8}{'sim':>8}"
        f"{'err %':>7}{'own':>8}  {'busiest':14}{'model':>6}{'sim':>6}{'err %':>7}"
    ]
    for each in found:
        point, profile = each.point, each.point.profile
        plan = point.sides + (f" {point.offloaded:g}" if point.offloaded else "")
        lines.append(
            f"{point.program:14}{point.nic:12}{profile.flows:6.0e}{profile.zipf_exponent:5.1f}"
            f"{profile.packets_per_flow:4.0f}{profile.packet_bytes:5.0f} {plan:12}"
            f"{each.binding:14}{each.asymptotic_pps / 1e6:7.2f}{each.mva_pps / 1e6:7.2f}"
            f"{each.simulated_pps / 1e6:7.2f}{100 * each.rate_error:7.1f}"
            f"{100 * each.mva_error:7.1f}{each.cores:8.3f}{each.simulated_cores:8.3f}"
            f"{100 * each.cores_error:7.1f}{each.own_cores:8.3f}  {each.busiest:14}"
            f"{each.utilisation:6.3f}{each.simulated_utilisation:6.3f}"
            f"{100 * each.utilisation_error:7.1f}"
        )
    for name, attribute in (
        ("highest rate, asymptotic", "rate_error"),
        ("highest rate, MVA", "mva_error"),
        ("host cores", "cores_error"),
        ("host cores, caches of popular flows", "own_error"),
        ("busiest resource", "utilisation_error"),
    ):
        mean, worst = errors(found, attribute)
        lines.append(
            f"{name}: mean error {100 * mean:.1f} %, worst {100 * worst:.1f} %, "
            f"of {len(found)} plans"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    parser.add_argument("--profiles", type=int, default=len(PROFILES))
    arguments = parser.parse_args()
    found = []
    todo = points(arguments.profiles)
    for number, point in enumerate(todo, start=1):
        found.append(compare((point, SEEDS[0])))
        print(f"\r{number}/{len(todo)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(table(found))


if __name__ == "__main__":
    main()
