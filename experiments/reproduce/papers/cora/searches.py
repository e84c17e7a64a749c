"""The search for a plan against all plans there are: what it finds, and what it has to look at."""

from __future__ import annotations

from functools import partial
from itertools import product
from math import prod
from typing import Any, NamedTuple

from experiments.reproduce.accepted import Band, Finding, Table
from experiments.reproduce.claim import Claim, Study
from experiments.reproduce.estimate import Estimate
from experiments.reproduce.papers.cora.plans import AGILIO, NICS, PROGRAMS, traffic
from experiments.reproduce.papers.cora.points import Case, program
from experiments.reproduce.workers import Workers
from models.network_functions.plan import SPLIT
from policies.partition.cut_bound import least_host_s
from policies.partition.exhaustive import exhaustive
from policies.partition.goals import NO_SCORE, FewestCores, Goal, HighestRate, Score
from policies.partition.masks import best_blocks
from policies.partition.search import BranchAndBound, offloaded_numbers

#: Packets of a flow, Zipf exponent.
TRAFFIC = ((80.0, 1.0), (20.0, 1.0), (10.0, 1.0), (80.0, 1.2), (20.0, 0.8))
GOALS: dict[str, Goal] = {"fewest cores": FewestCores(), "highest rate": HighestRate(4)}
#: Chains, of which all sides of all states of the first can be tried one by one.
SHORT_CHAIN = "firewall_monitor"
CHAINS = ("firewall_nat_balancer", "upf_limiter_monitor")

#: Plans of each function, with nine numbers of offloaded flows: worked out apart from this code.
PLANS = {
    "nat": 6272.0,
    "load_balancer": 38016.0,
    "firewall": 6336.0,
    "flow_monitor": 2112.0,
    "heavy_hitter": 1152.0,
    "rate_limiter": 4224.0,
    "ipsec_gateway": 8448.0,
    "upf": 129024.0,
}


class Search(NamedTuple):
    """A search: its best score and that of all plans (None: too many to try); nodes (bounds and
    plans that were priced); plans that there are; cut: the bound by cuts on the cores, over those
    of the plan found."""

    score: Score
    best: Score | None
    nodes: int
    plans: float
    cut: float


Searches = dict[tuple[str, str, float, float, str], Search]


def plans(case: Case) -> float:
    """Plans that a case has: sides, numbers of offloaded flows, sets of blocks."""
    made = program(case.program)
    options = [state.options for state in made.states]
    every = prod(len(each) for each in options)
    unsplit = prod(len(each.replace(SPLIT, "")) for each in options)
    numbers = len(offloaded_numbers(case.profile.flows))
    return float((unsplit + numbers * (every - unsplit)) * 2 ** len(made.blocks))


def try_all(case: Case, goal: Goal) -> Score:
    """The best score of all plans."""
    model = case.model()
    if case.program in PROGRAMS:
        return exhaustive(model, goal).score
    least = NO_SCORE
    for choice in product(*(state.options for state in model.program.states)):
        numbers = offloaded_numbers(case.profile.flows) if SPLIT in choice else (0.0,)
        for number in numbers:
            _, score, _ = best_blocks(model, goal, "".join(choice), number, below=least)
            least = min(least, score)
    return least


def search(key: tuple[str, str, float, float, str]) -> Search:
    """One search, on the grid of numbers of offloaded flows."""
    nic, name, length, exponent, aim = key
    case = Case(name, nic, traffic(nic, length, exponent))
    goal = GOALS[aim]
    model = case.model()
    found = BranchAndBound(model, goal, refine=False).run()
    best = try_all(case, goal) if name not in CHAINS else None
    cut = 0.0
    if found.cost is not None and found.cost.host_s and aim == "fewest cores":
        cut = least_host_s(model, (0.0, found.cost.plan.offloaded)) / found.cost.host_s
    return Search(found.score, best, found.nodes, plans(case), cut)


def study(workers: Workers) -> Searches:
    """All functions on both NICs, and chains of them (the long ones on the Agilio)."""
    keys = [
        (nic, name, *statistics, aim)
        for nic, name, statistics, aim in product(NICS, PROGRAMS, TRAFFIC, GOALS)
    ]
    keys += [(nic, SHORT_CHAIN, 20.0, 1.0, aim) for nic, aim in product(NICS, GOALS)]
    keys += [
        (nic, name, length, 1.0, "fewest cores")
        for nic, name, length in product(NICS, CHAINS, (80.0, 20.0))
        if nic == AGILIO or workers.full
    ]
    return dict(zip(keys, workers.map(search, keys), strict=True))


def _unlike(found: Searches) -> Estimate:
    return Estimate.exact(
        sum(each.best is not None and each.score != each.best for each in found.values())
    )


def _counts(found: Searches) -> dict[str, Estimate]:
    return {
        name: Estimate.exact(found[AGILIO, name, 80.0, 1.0, "fewest cores"].plans)
        for name in PROGRAMS
    }


def _above(found: Searches) -> Estimate:
    return Estimate.exact(max(each.cut for each in found.values()))


def _most(found: Searches) -> Estimate:
    """Largest share of the plans that a search looked at, in percent."""
    shares = [100.0 * each.nodes / each.plans for each in found.values() if each.best is not None]
    return Estimate.exact(max(shares))


def _nodes(found: Searches, names: tuple[str, ...]) -> dict[str, Estimate]:
    return {
        f"{key[1]}, L {key[2]:g} ({each.plans:.2g} plans)": Estimate.exact(each.nodes)
        for key, each in found.items()
        if key[1] in names and key[0] == AGILIO and key[3:] == (1.0, "fewest cores")
    }


SEARCHES = Study("search", study)
_WHERE = "abstract: an efficient search"
COUNT = len(NICS) * (len(PROGRAMS) * len(TRAFFIC) + 1) * len(GOALS)

CLAIMS: list[Claim[Any, Any]] = [
    Claim(
        id="plans",
        where="not in the paper: worked out apart from this code",
        what="plans of each function",
        published="1,152 to 129,024",
        accepted=Table(PLANS),
        study=SEARCHES,
        measure=_counts,
    ),
    Claim(
        id="search-best",
        where=_WHERE,
        what=f"of {COUNT} searches (eight functions and a chain, two NICs, five traffics, fewest "
        "cores and highest rate) those that miss the best of all plans",
        published="0",
        accepted=Band(0.0, 0.0),
        study=SEARCHES,
        measure=_unlike,
    ),
    Claim(
        id="search-nodes",
        where=_WHERE,
        what="largest share of all plans that one of these searches looked at, bounds included",
        published="efficient",
        accepted=Band(high=20.0),
        study=SEARCHES,
        measure=_most,
        unit="%",
    ),
    Claim(
        id="search-cut",
        where="not in the paper: a bound that does not know the search",
        what="most of a bound by minimum cuts on the cores over those of the plan found",
        published="at most 1",
        accepted=Band(high=1.0),
        study=SEARCHES,
        measure=_above,
    ),
    Claim(
        id="search-upf",
        where=_WHERE,
        what="bounds and plans looked at, UPF on the Agilio",
        published="efficient",
        accepted=Finding(),
        study=SEARCHES,
        measure=partial(_nodes, names=("upf",)),
    ),
    Claim(
        id="search-chains",
        where=_WHERE,
        what="the same for chains of 10 states on the Agilio",
        published="efficient",
        accepted=Finding(),
        study=SEARCHES,
        measure=partial(_nodes, names=CHAINS),
    ),
]
