"""The shape of the house: who may import whom, what stays light, how long files are."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("models", "policies", "workloads", "sim", "experiments")
MAY = {
    "models": {"models"},
    "policies": {"models", "policies"},
    "workloads": {"models", "workloads"},
    "sim": {"models", "policies", "workloads", "sim"},
    "experiments": set(PACKAGES),
}
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path):
    """Dotted names that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("package", PACKAGES)
def test_import_arrows(package):
    for path in FILES:
        if path.relative_to(ROOT).parts[0] != package:
            continue
        for name in imports(path):
            head = name.split(".")[0]
            where = f"{path.relative_to(ROOT)} imports {name}"
            if head in PACKAGES:
                assert head in MAY[package], where
            if head == "simpy":
                assert package in ("sim", "experiments"), where
            if package == "sim" and head == "policies":
                assert name.endswith(".contract"), where
            if package == "sim" and head == "workloads":
                assert name in ("workloads.demand", "workloads.job_demand"), where
            if package == "policies" and head == "policies":
                kind = path.relative_to(ROOT).parts[1]
                assert name.endswith(".contract") or name.split(".")[1] == kind, where


def test_only_benchmarks_of_experiments_know_simpy():
    users = {
        path.relative_to(ROOT).parts[:2]
        for path in FILES
        if any(name.split(".")[0] == "simpy" for name in imports(path))
    }
    assert all(user[0] == "sim" or user == ("experiments", "benchmarks") for user in users)


def test_policies_touch_nothing_private():
    for path in sorted((ROOT / "policies").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute) or node.attr.startswith("__"):
                continue
            if node.attr.startswith("_"):
                owner = node.value
                assert isinstance(owner, ast.Name), (path, node.attr)
                assert owner.id == "self", (path, node.attr)


def test_files_are_short():
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 400, path


def test_nothing_heavy_is_loaded_before_a_run_has_ended():
    """Neither the command line nor a run imports pandas, pyplot or scipy.stats."""
    script = (
        "import sys\n"
        "import experiments.cli\n"
        "from experiments.compose import compose\n"
        "from sim.core.run import build\n"
        "build(compose(['workload.count=20'])).run()\n"
        "heavy = {'pandas', 'matplotlib.pyplot', 'scipy.stats', 'scipy.optimize', 'IPython'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_no_constant_of_a_gpu_in_code():
    """Names of catalogue parts stand in configs, not in the packages that simulate."""
    names = [path.stem for path in (ROOT / "configs" / "hardware" / "gpu").glob("*.yaml")]
    for package in ("models", "policies", "workloads", "sim"):
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text()
            assert not [name for name in names if f'"{name}"' in text], path
