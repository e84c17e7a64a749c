"""Time and memory from ten thousand to a million requests."""

from __future__ import annotations

import json
import subprocess
import sys

_SIZES = (10_000, 100_000, 1_000_000)
_REPLICAS = 16


def print_scale(repeats: int) -> None:
    """CPU seconds and peak memory of generated chat over 16 replicas, each in a process of its
    own; one run of each, since they are long."""
    print(f"generated chat over {_REPLICAS} replicas, 2 requests/s for each replica")
    print(f"{'requests':>10}{'CPU s':>9}{'us/request':>12}{'peak MiB':>10}")
    seconds = {}
    for size in _SIZES:
        done = subprocess.run(
            [sys.executable, "-m", "experiments.benchmarks.serving_scale", str(size)],
            capture_output=True,
            text=True,
            check=True,
        )
        seen = json.loads(done.stdout)
        seconds[size] = seen["cpu_s"]
        each = seen["cpu_s"] / size * 1e6
        print(f"{size:10,d}{seen['cpu_s']:9.2f}{each:12.1f}{seen['peak_mib']:10.0f}")
    slope = _log_slope(seconds)
    print(f"time grows as requests to the power {slope:.3f}   bar: linear")
    print("bar: at most 1,536 MiB for a million requests\n")


def _log_slope(seconds: dict[int, float]) -> float:
    """Exponent of the least-squares power law."""
    import numpy as np

    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])


def _measure(count: int) -> dict[str, float]:
    import resource

    from experiments.benchmarks.serving_work import measure_generated

    cpu_s = measure_generated(count, 2.0 * _REPLICAS, _REPLICAS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu_s": cpu_s, "peak_mib": peak / 1024}


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
