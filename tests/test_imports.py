"""What each package may take from outside, and when."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"models", "policies", "workloads", "sim", "experiments", "configs"}
OUTSIDE = {
    "models": {"numpy", "scipy"},
    "policies": {"numpy", "scipy"},
    "workloads": {"numpy", "scipy", "pyarrow", "dpkt"},
    "sim": {"numpy", "simpy", "pyarrow", "pandas", "omegaconf", "hydra", "tqdm", "yaml"},
}
#: Loaded inside functions alone, when a run has ended or a file of that kind is read.
LATE = {
    "pandas",
    "matplotlib",
    "pyarrow",
    "hydra",
    "omegaconf",
    "tqdm",
    "yaml",
    "scipy.stats",
    "dpkt",
}


def imported(nodes: list[ast.stmt]) -> Iterator[str]:
    """Names of modules imported at the top level; not what is for types alone."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING":
            yield from imported([*node.body, *node.orelse])


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", sorted(OUTSIDE))
def test_a_package_uses_few_others(package: str) -> None:
    for path in files(package):
        tree = ast.parse(path.read_text())
        statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
        heads = {name.split(".")[0] for name in imported(statements)}
        foreign = heads - OURS - set(sys.stdlib_module_names)
        assert foreign <= OUTSIDE[package], path


@pytest.mark.parametrize("package", sorted(OUTSIDE))
def test_what_is_heavy_is_loaded_late(package: str) -> None:
    for path in files(package):
        for name in imported(ast.parse(path.read_text()).body):
            assert not any(name == late or name.startswith(f"{late}.") for late in LATE), path


def test_the_clock_on_the_wall_is_read_by_the_run_alone() -> None:
    """Simulated time never depends on how fast a machine is, nor on the date."""
    readers = set()
    for package in OUTSIDE:
        for path in files(package):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    names = {alias.name for alias in node.names} | {getattr(node, "module", "")}
                    if names & {"time", "datetime"}:
                        readers.add(str(path.relative_to(ROOT)))
    assert readers <= {
        "models/carbon/calendar.py",
        "sim/core/run.py",
        "workloads/azure.py",
        "workloads/carbon/stamps.py",
    }


def test_chance_comes_from_generators_that_are_given() -> None:
    """No global random state: neither `random` nor numpy's legacy functions."""
    for package in OUTSIDE:
        for path in files(package):
            tree = ast.parse(path.read_text())
            statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
            assert "random" not in set(imported(statements)), path
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("np.random."):
                    allowed = ("Generator", "PCG64", "SeedSequence", "default_rng")
                    assert node.attr in allowed, (path, node.attr)
