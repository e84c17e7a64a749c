"""The figures at the top of the report, its tables, and what a reader must be warned of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.report.formats import DASH, amount, known, number, percent, plural, seconds
from experiments.report.latency import LATENCIES
from experiments.report.run_data import ServingRun


@dataclass(frozen=True)
class Tile:
    """A headline figure: its value ("7.7 req/s") and what else to know of it. `tone` is "", "warn"
    or "bad"."""

    name: str
    text: str
    detail: str = ""
    tone: str = ""

    @property
    def value(self) -> str:
        """The figure itself."""
        return self.text.rpartition(" ")[0] or self.text

    @property
    def unit(self) -> str:
        """Its unit, where it has one."""
        value, _, unit = self.text.rpartition(" ")
        return unit if value else ""


@dataclass(frozen=True)
class Notice:
    """Something that makes the figures mean less than they seem to. `tone` as of a tile."""

    tone: str
    title: str
    text: str


def arriving_rps(run: ServingRun) -> float | None:
    """Arrivals per second between the first and the last of them."""
    first, last = run.arrivals_s
    count = len(run.finished)
    return (count - 1) / (last - first) if last > first else None


def tiles(run: ServingRun) -> list[Tile]:
    """The headline figures."""
    get = run.figure
    finished, arrived = run.count("requests_finished"), run.count("requests_arrived")
    arriving = arriving_rps(run)
    found = [
        Tile(
            "Throughput",
            f"{number(get('request_throughput_rps'))} req/s",
            f"arriving {number(arriving)} req/s" if arriving else f"{finished:,} finished",
        ),
        Tile(
            "Output",
            f"{number(get('output_throughput_tps'))} tok/s",
            f"prompts {number(get('prompt_throughput_tps'))} tok/s",
        ),
    ]
    if "goodput_rps" in {key.removeprefix(f"{run.name}.") for key in run.result.summary}:
        goodput = get("goodput_rps")
        whole = get("request_throughput_rps")
        share = goodput / whole if goodput is not None and whole else None
        tone = "" if share is None or share >= 0.9 else "warn"
        met = f"{percent(share)} meet the objective"
        found.append(Tile("Goodput", f"{number(goodput)} req/s", met, tone))
    found += [
        Tile(
            short if key != "queue_s" else "Queue wait",
            seconds(get(f"{key}.p50")),
            f"p99 {seconds(get(f'{key}.p99'))}",
        )
        for key, (_, short, _) in LATENCIES.items()
    ]
    rejected, preempted = run.count("requests_rejected"), run.count("preemptions")
    found += [
        Tile(
            "GPU busy",
            percent(get("gpu_busy_share")),
            f"decode {percent(get('gpu_time_share.decode'))}, "
            f"with prefill {percent(_prefilling(run))}",
        ),
        Tile(
            "KV cache",
            percent(get("kv_occupancy.mean")),
            f"mean; peak {percent(get('kv_occupancy.peak'))}",
        ),
        Tile(
            "Energy of GPUs",
            amount(get("energy_j"), "J"),
            f"before PUE; mean {amount(_mean_w(run), 'W')}; {_with_hosts(run)}",
        ),
        Tile(
            "Energy per token",
            amount(get("energy_per_output_token_j"), "J"),
            f"{amount(get('energy_per_request_j'), 'J')} per request",
        ),
        *_carbon(run),
        Tile(
            "Rejected",
            f"{rejected:,}",
            f"of {plural(arrived, 'request')}",
            "bad" if rejected > 0.01 * arrived else "warn" if rejected else "",
        ),
        Tile(
            "Preemptions",
            f"{preempted:,}",
            f"{run.count('recomputed_tokens'):,} tokens recomputed",
            "warn" if preempted else "",
        ),
    ]
    return found


def _carbon(run: ServingRun) -> list[Tile]:
    """Carbon, where it is accounted for."""
    get = run.result.summary.get
    whole = known(get("carbon_g"))
    if whole is None:
        return []
    making, each = get("carbon.embodied_share"), run.figure("request_carbon_g.mean")
    alone = "" if each is None else f"; without idle time {amount(each, 'g')}"
    return [
        Tile("Carbon", amount(whole, "g"), f"of the cluster, with PUE; making {percent(making)}"),
        Tile(
            "Carbon per request",
            amount(run.figure("carbon_per_request_g"), "g"),
            f"idle time of its GPUs in it{alone}; "
            f"{amount(run.figure('carbon_per_1k_tokens_g'), 'g')} per 1,000 tokens",
        ),
    ]


def latency_table(run: ServingRun) -> list[tuple[str, list[str]]]:
    """Names of the latencies with their mean, percentiles and maximum."""
    keys = ("mean", "p50", "p90", "p99", "max")
    return [
        (name, [seconds(run.figure(f"{latency}.{key}")) for key in keys])
        for latency, (name, _, _) in LATENCIES.items()
    ]


def count_table(run: ServingRun) -> list[tuple[str, str]]:
    """Requests, tokens and iterations by what became of them."""
    names = {
        "requests_arrived": "arrived",
        "requests_finished": "finished",
        "requests_rejected": "rejected",
        "requests_truncated": "truncated",
        "requests_rerouted": "rerouted",
        "requests_unfinished": "unfinished",
        "output_tokens": "output tokens",
        "prefill_tokens": "prefill tokens",
        "iterations": "iterations",
    }
    rows = [(name, number(run.count(key))) for key, name in names.items()]
    made, steps = run.figure("output_tokens"), run.figure("iterations")
    return [
        *rows,
        ("output tokens per iteration", number(made / steps if made and steps else None)),
    ]


def notices(run: ServingRun) -> list[Notice]:
    """What a reader must know before he believes the figures."""
    arrived, finished = run.count("requests_arrived"), run.count("requests_finished")
    found = []
    if not finished:
        text = f"{arrived:,} arrived. There are no latencies to show."
        found.append(Notice("bad", "No request finished", text))
    grown = _growing_queue(run)
    if grown:
        found.append(Notice("bad", "The system is saturated", grown))
    counts = (
        (
            "requests_unfinished",
            "bad",
            "{} unfinished",
            "The run ended before they did (until_s); latencies are of the finished ones alone, "
            "which favours short ones.",
        ),
        (
            "requests_rejected",
            "bad",
            "{} rejected",
            "They can never fit: longer than the model's context or than the whole KV pool "
            "(engine.over_context). No latency counts them.",
        ),
        (
            "requests_truncated",
            "warn",
            "{} truncated",
            "They were longer than the model's context or than the whole KV pool, and were "
            "served shortened (engine.over_context).",
        ),
        (
            "requests_rerouted",
            "warn",
            "{} rerouted",
            "Their replica failed, and they began anew on another.",
        ),
    )
    for key, tone, title, text in counts:
        count = run.count(key)
        if count:
            share = f"{percent(count / arrived)} of those that arrived. " if arrived else ""
            tone = "warn" if key == "requests_rejected" and count <= 0.01 * arrived else tone
            found.append(Notice(tone, title.format(plural(count, "request")), share + text))
    preempted = run.count("preemptions")
    if preempted:
        text = (
            f"KV memory ran out or a better-ranked request came; "
            f"{run.count('recomputed_tokens'):,} tokens were computed again. The KV cache peaked "
            f"at {percent(run.figure('kv_occupancy.peak'))}."
        )
        found.append(Notice("warn", plural(preempted, "preemption"), text))
    return found


def _growing_queue(run: ServingRun) -> str:
    """What shows that the queue grew until the last arrival; nothing if it did not.

    Over the four quarters of the time from the first arrival to the last (or to the end of the
    run), the mean number waiting must grow in each of the last two by a fifth, to at least 2 % of
    the requests and 8 at the end.
    """
    first, last = run.arrivals_s
    last = min(last, run.simulated_s)
    count = len(run.finished)
    if last <= first:
        return ""
    _, waiting = run.in_system(np.linspace(first, last, 801)[1:])
    quarters = waiting.reshape(4, -1).mean(axis=1)
    if quarters[3] < max(8.0, 0.02 * count):
        return ""
    if not (quarters[3] > 1.2 * quarters[2] and quarters[2] > 1.2 * quarters[1]):
        return ""
    arriving, done = arriving_rps(run), run.figure("request_throughput_rps")
    return (
        f"The queue grew until the end of arrivals: {quarters[1]:,.0f}, {quarters[2]:,.0f} and "
        f"{quarters[3]:,.0f} requests waited on average in the second, third and last quarter. "
        f"{number(arriving)} req/s arrived, {number(done)} finished. Latencies depend on how "
        "long such a run lasts."
    )


def _prefilling(run: ServingRun) -> float | None:
    parts = [run.figure(f"gpu_time_share.{phase}") for phase in ("prefill", "mixed")]
    known_parts = [part for part in parts if part is not None]
    return sum(known_parts) if known_parts else None


def _mean_w(run: ServingRun) -> float | None:
    energy_j = run.figure("energy_j")
    return energy_j / run.simulated_s if energy_j is not None and run.simulated_s else None


def _with_hosts(run: ServingRun) -> str:
    whole, facility = (
        known(run.result.summary.get(key)) for key in ("energy_j", "facility_energy_j")
    )
    with_pue = "" if facility is None else f", with PUE {amount(facility, 'J')}"
    return f"cluster {amount(whole, 'J')}{with_pue}" if whole is not None else DASH
