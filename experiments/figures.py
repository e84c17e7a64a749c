"""The figures that matter most of a run, as text."""

from __future__ import annotations

from sim.core.result import Result

_LATENCIES = {
    "ttft_s": "time to first token",
    "tpot_s": "time per output token",
    "e2e_latency_s": "end-to-end latency",
    "queue_s": "wait in queue",
}


def headline(result: Result) -> str:
    """A few lines on a run."""
    get = result.summary.get
    lines = []
    finished, arrived = get("serving.requests_finished"), get("serving.requests_arrived")
    if arrived is not None:
        lines.append(
            f"{finished} of {arrived} requests finished in {_number(get('simulated_s'))} simulated "
            f"s ({get('serving.requests_rejected')} rejected, "
            f"{get('serving.preemptions')} preemptions)"
        )
        lines.append(f"{'':24}{'mean':>10}{'p50':>10}{'p90':>10}{'p99':>10}")
        for key, name in _LATENCIES.items():
            cells = [_seconds(get(f"serving.{key}.{k}")) for k in ("mean", "p50", "p90", "p99")]
            lines.append(f"{name:24}" + "".join(f"{cell:>10}" for cell in cells))
        lines.append(
            f"throughput {_number(get('serving.request_throughput_rps'))} requests/s, "
            f"{_number(get('serving.output_throughput_tps'))} output tokens/s; GPU busy "
            f"{_percent(get('serving.gpu_busy_share'))}, KV cache "
            f"{_percent(get('serving.kv_occupancy.mean'))} (peak "
            f"{_percent(get('serving.kv_occupancy.peak'))})"
        )
    lines += _deferred(result)
    if get("jobs.jobs_arrived") is not None:
        lines.append(
            f"{get('jobs.jobs_finished')} of {get('jobs.jobs_arrived')} jobs finished in "
            f"{_number(get('simulated_s'))} simulated s, {get('jobs.deadlines_missed')} after "
            f"their deadline; {get('jobs.suspensions')} pauses, GPUs in use "
            f"{_percent(get('jobs.gpu_share'))}{_of_jobs(result)}"
        )
    if get("dataplane.throughput_mpps") is not None:
        lines.append(
            f"{_number(get('dataplane.throughput_mpps'))} of "
            f"{_number(get('dataplane.offered_mpps'))} Mpkt/s "
            f"({_number(get('dataplane.throughput_gbps'))} Gb/s), "
            f"{_finely(get('dataplane.drop_share'))} dropped; "
            f"{_number(get('dataplane.busy_cores'))} host cores busy, PCIe "
            f"{_number(get('dataplane.pcie_gbps'))} Gb/s"
        )
        lacking = get("dataplane.no_accelerator")
        lines.append(
            f"plan {get('dataplane.plan')}, whose highest rate is bound by "
            f"{get('dataplane.bound_by')}"
            + (f"; at the host for want of an accelerator: {lacking}" if lacking else "")
        )
    if get("fleet.carbon_g") is not None:
        bought, moved = _number(get("fleet.bought")), _number(get("fleet.moved_in"))
        lines.append(f"{bought} devices bought, {moved} moved on")
        tonnes = {
            "operation": "operational_g",
            "making written off": "embodied_g",
            "making of what went before its time": "early_g",
        }
        parts = (f"{_tonnes(get(f'fleet.{key}'))} of {name}" for name, key in tonnes.items())
        lines.append(f"carbon {_tonnes(get('fleet.carbon_g'))}: {', '.join(parts)}")
        return "\n".join(lines)
    lines.append(f"energy {_number(get('energy_j'))} J{_carbon(result)}")
    return "\n".join(lines)


def _deferred(result: Result) -> list[str]:
    """A line on each client that held requests back."""
    lines = []
    for key, count in result.summary.items():
        if not (key.startswith("serving.") and key.endswith("deferred") and count):
            continue
        held_s, longest_s, forced, missed, held = (
            result.summary[f"{key}.{figure}"]
            for figure in ("held_s.mean", "held_s.max", "forced", "missed", "held")
        )
        client = key.split(".")[-2] if key.count(".") > 1 else "client"
        lines.append(
            f"{client}: {count} requests held back for {_number(held_s)} s on average, "
            f"{_number(longest_s)} s at most, before the latencies above begin; {forced} let go "
            f"for want of slack, {missed} missed their deadline, {held} still held"
        )
    return lines


def _of_jobs(result: Result) -> str:
    each = result.summary.get("jobs.carbon_per_job_g")
    return "" if each is None else f"; {_number(each)} g of carbon per job"


def _carbon(result: Result) -> str:
    get = result.summary.get
    if get("carbon_g") is None:
        return ""
    facility = get("facility_energy_j")
    pue = "" if facility is None else f" before PUE, {_number(facility)} J with it"
    each = get("serving.carbon_per_request_g")
    request = "" if each is None else f"; {_number(each)} g per request, idle time in it"
    making = _percent(get("carbon.embodied_share"))
    return f"{pue}; carbon with PUE {_number(get('carbon_g'))} g ({making} for making){request}"


def _seconds(value: object) -> str:
    if not isinstance(value, (int, float)):
        return "-"
    if value >= 1.0:
        return f"{value:.2f} s"
    return f"{value * 1e3:.1f} ms"


def _tonnes(grams: object) -> str:
    return f"{_number(grams / 1e6)} t" if isinstance(grams, (int, float)) else "-"


def _number(value: object) -> str:
    return (
        f"{value:,.4g}"
        if isinstance(value, (int, float)) and value < 1e4
        else (f"{value:,.0f}" if isinstance(value, (int, float)) else "-")
    )


def _finely(value: object) -> str:
    """A share that matters however small it is."""
    if isinstance(value, float) and 0.0 < value < 0.01:
        return f"{100.0 * value:.2g}%"
    return _percent(value)


def _percent(value: object) -> str:
    return f"{value:.0%}" if isinstance(value, (int, float)) else "-"
