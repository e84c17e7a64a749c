"""The notebooks: committed bare, executed whole, and what their tables and figures say."""

from __future__ import annotations

import json
import re
import tempfile
from functools import cached_property
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from experiments.study import collect

FOLDER = Path(__file__).resolve().parents[1] / "experiments" / "notebooks"
COMPARED = "comparison.frame().set_index('metric')"
#: What each notebook is asked for at its end.
FOUND = {
    "carbon": {
        "comparison": COMPARED,
        "tenants": "tenants",
        "grids": "grids[['carbon.embodied_share']]",
        "waits": "waits",
        "accounts": "accounts.reset_index()",
    },
    "cora": {
        "comparison": COMPARED,
        "upf": "savings['upf']",
        "plans": "table",
        "cores": "cores",
        "drops": "drops",
    },
    "trail": {"comparison": COMPARED},
    "neo": {"comparison": COMPARED, "gains": "gains", "loads": "loads"},
    "lamps": {"comparison": COMPARED, "areas": "pd.DataFrame(areas)"}
    | {f"shares_{rate}": f"shares.xs({rate}, axis=1, level=1)" for rate in (1, 6)},
}


#: Of each notebook, what is smaller here: the same study in less time.
SMALLER = {
    "carbon": {"SEEDS = range(4)": "SEEDS = range(2)"},
    "cora": {"program=nat,upf": "program=upf", "seeds=range(4)": "seeds=range(3)"},
    "trail": {
        "rate_rps=8,14,20": "rate_rps=8,20",
        "lock_share=0.0,0.1,0.2,0.5,0.8,1.0": "lock_share=0.0,0.8,1.0",
        "seeds=range(4)": "seeds=range(3)",
    },
    "neo": {
        "COUNT = 300": "COUNT = 150",
        "rate_rps=0.3,1.0,2.0": "rate_rps=1.0,2.0",
        "seeds=range(4)": "seeds=range(3)",
    },
    "lamps": {"seeds=range(4)": "seeds=range(2)"},
}


class Executed:
    """A notebook executed in a folder of its own, a warning in it being an error."""

    def __init__(self, name: str, folder: Path) -> None:
        text = (FOLDER / f"{name}.ipynb").read_text()
        for whole, smaller in SMALLER[name].items():
            assert text.count(whole) == 1, whole
            text = text.replace(whole, smaller)
        notebook = nbformat.reads(text, as_version=4)
        strict = nbformat.v4.new_code_cell("import warnings\nwarnings.simplefilter('error')")
        asked = [f"({text}).to_json({key + '.json'!r})" for key, text in FOUND[name].items()]
        # The kernel's own end warns of what is to come.
        last = nbformat.v4.new_code_cell("\n".join([*asked, "warnings.resetwarnings()"]))
        notebook.cells = [strict, *notebook.cells, last]
        # Sockets in the file system need no network; their paths must be short.
        with tempfile.TemporaryDirectory() as place:
            kernel = AsyncKernelManager(
                kernel_name="python3",
                transport="ipc",
                connection_file=str(Path(place) / "kernel.json"),
            )
            where = {"metadata": {"path": str(folder)}}
            client = NotebookClient(notebook, km=kernel, timeout=600, resources=where)
            client.execute(cleanup_kc=True)
        outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
        self.figures = sum("image/png" in out.get("data", {}) for out in outputs)
        self.said = [out.text for out in outputs if out.output_type == "stream"]
        self.found = {key: pd.read_json(folder / f"{key}.json") for key in FOUND[name]}
        self.name = name
        self.folder = folder

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Its sweep over rates."""
        return collect(next(self.folder.glob(f"{self.name}-*")) / "rates")

    def means(self, figure: str, rate_rps: float) -> dict[str, float]:
        """The mean of a figure by arm."""
        rows = self.runs[self.runs["arrivals.rate_rps"] == rate_rps].set_index("arm")
        return dict(rows[f"serving.{figure}.mean"])


def executed(name: str, factory: pytest.TempPathFactory) -> Executed:
    # Nothing of the user's own Jupyter is read or written.
    home = factory.mktemp("jupyter")
    with pytest.MonkeyPatch.context() as patch:
        for key in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(key, str(home))
        return Executed(name, factory.mktemp(name))


@pytest.fixture(scope="module")
def carbon(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return executed("carbon", tmp_path_factory)


@pytest.fixture(scope="module")
def cora(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return executed("cora", tmp_path_factory)


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return executed("trail", tmp_path_factory)


@pytest.fixture(scope="module")
def lamps(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return executed("lamps", tmp_path_factory)


@pytest.fixture(scope="module")
def neo(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return executed("neo", tmp_path_factory)


def test_there_is_one_for_each_paper() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_committed_bare(name: str) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text()
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        assert not cell.get("outputs"), "strip the outputs"
        assert cell.get("execution_count") is None, "strip the execution counts"
        assert not cell["metadata"]
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert not re.search(r"(?<![\w.:/])/(home|root|tmp|Users|work|mnt|opt)/|[A-Z]:\\\\", text)


def test_carbon_draws_the_figures(carbon: Executed) -> None:
    assert carbon.figures == 6
    assert carbon.said == []


def test_carbon_every_method_hands_out_every_gram(carbon: Executed) -> None:
    whole = carbon.found["tenants"].sum(axis=1)
    assert len(whole) == 5
    assert whole.max() == pytest.approx(whole.min(), rel=1e-9)
    accounts = carbon.found["accounts"].set_index(["tenant", "account"])
    grams = accounts[["operational_g", "embodied_g"]].to_numpy().sum()
    assert grams == pytest.approx(1000 * whole.iloc[0], rel=1e-9)
    assert (
        accounts.loc[("jobs", "work"), "energy_j"] > accounts.loc[("jobs", "restore"), "energy_j"]
    )
    assert (accounts.loc["serving"].loc[["prefill", "decode"], "energy_j"] > 0).all()


def test_carbon_making_counts_more_on_clean_grids(carbon: Executed) -> None:
    share = carbon.found["grids"]["carbon.embodied_share"].sort_index()
    assert share.is_monotonic_decreasing
    assert share.loc[12] > 0.5
    assert share.loc[400] < 0.2


def test_carbon_jobs_that_wait_emit_less(carbon: Executed) -> None:
    waits = carbon.found["waits"]
    operation = waits["added to the site, kg"]
    assert operation["at once"] > operation["in one piece"] > operation["CarbonScaler"]
    assert operation["may pause"] < operation["in one piece"] * 1.001
    assert waits["energy added, kWh"]["in one piece"] == pytest.approx(
        waits["energy added, kWh"]["at once"]
    )
    assert (waits["in the jobs' books, kg"] > operation).all()
    assert (waits["late"] == 0).all()
    shares = carbon.found["comparison"]["share_of_a"]
    assert shares["jobs.carbon.operational_g"] < 0 < shares["jobs.carbon.it_energy_j"]


def test_cora_draws_the_figures(cora: Executed) -> None:
    assert cora.figures == 3
    assert cora.said == []


def test_cora_is_ahead_of_both_cuts_where_flows_are_short(cora: Executed) -> None:
    saved = cora.found["upf"].sort_index()
    naive = saved[["by state", "by traffic"]].max(axis=1)
    assert (saved["Cora"] >= naive - 1e-9).all()
    assert (saved["Cora"] > naive + 5.0).loc[:30].all()
    assert saved["by state"].loc[40] > saved["by state"].loc[30] + 30.0
    assert cora.found["plans"].loc["sides", "Cora"] == "SNNR"


def test_cora_saves_in_packets_too(cora: Executed) -> None:
    cores = cora.found["cores"].loc["upf"]
    assert cores["CPU only"] > cores["by state"] > cores["by traffic"] > cores["Cora"]
    found = cora.found["comparison"].loc["dataplane.busy_cores"]
    assert found["share_of_a_low"] < found["share_of_a"] < found["share_of_a_high"] < -0.2
    assert found["resolved"]


def test_cora_follows_a_change(cora: Executed) -> None:
    drops = cora.found["drops"].sort_index()
    assert (drops.loc[:2] == 0.0).all(axis=None)
    assert (drops.loc[5:, "static"] > 5.0).all()
    assert (drops.loc[5:, ["runtime", "oracle"]] < 0.1).all(axis=None)


def test_trail_draws_the_figures(trail: Executed) -> None:
    assert trail.figures == 3
    assert trail.said == []


def test_trail_rates(trail: Executed) -> None:
    policies = ["FCFS", "SJF", "TRAIL-BERT", "TRAIL", "TRAIL+"]
    assert trail.runs["arm"].unique().tolist() == policies
    light, loaded = (trail.means("e2e_latency_s", rate) for rate in (8, 20))
    assert max(light.values()) < 1.03 * min(light.values())
    assert loaded["FCFS"] > 1.2 * max(loaded[policy] for policy in policies[1:])
    first = trail.means("ttft_s", 20)
    assert first["FCFS"] > first["SJF"] > first["TRAIL-BERT"] > first["TRAIL"]
    assert first["FCFS"] > 10 * first["TRAIL"]


def test_trail_holds_and_recomputes_more_where_more_is_preempted(trail: Executed) -> None:
    locks = collect(next(trail.folder.glob("trail-*")) / "locks")
    locks = locks.set_index("ordering.lock_share")
    assert locks.loc[0.0, "serving.kv_tokens_waiting.mean"] == 0.0
    for metric in ("serving.kv_tokens_waiting.mean", "serving.recomputed_tokens"):
        assert locks.loc[1.0, metric] > locks.loc[0.0, metric]
    assert locks.loc[0.8, "serving.ttft_s.mean"] < locks.loc[0.0, "serving.ttft_s.mean"]


def test_trail_is_compared_with_an_interval(trail: Executed) -> None:
    found = trail.found["comparison"].loc["serving.e2e_latency_s.mean"]
    assert found["share_of_a_low"] < found["share_of_a"] < found["share_of_a_high"] < 0.0
    assert found["resolved"]


def test_lamps_draws_the_figures(lamps: Executed) -> None:
    assert lamps.figures == 3
    assert lamps.said == []


def test_lamps_rates(lamps: Executed) -> None:
    systems = ["vLLM", "InferCept", "LAMPS without scheduling", "LAMPS"]
    assert lamps.runs["arm"].unique().tolist() == systems
    for rate in (4, 6, 8):
        for figure in ("e2e_latency_s", "ttft_s"):
            means = lamps.means(figure, rate)
            assert means["vLLM"] > 1.2 * max(means[system] for system in systems[1:])
    assert lamps.means("ttft_s", 6)["LAMPS"] < lamps.means("ttft_s", 6)["InferCept"]


def test_lamps_preserves_what_is_short(lamps: Executed) -> None:
    calm, busy = lamps.found["shares_1"], lamps.found["shares_6"]
    for shares in (calm, busy):
        assert shares.loc[["math", "ve"]].min(axis=None) > 0.9
        assert shares.loc[["chatbot", "image", "tts"]].max(axis=None) < 0.3
    assert (calm.loc["qa"] < 0.5).all()
    assert (busy.loc["qa"] > 0.8).all()


def test_lamps_measures_the_area_that_it_predicts(lamps: Executed) -> None:
    areas = lamps.found["areas"]
    assert areas.loc["measured"].to_dict() == pytest.approx(
        areas.loc["predicted"].to_dict(), rel=0.03
    )
    assert areas.loc["measured", "preserve"] > 1.5 * areas.loc["measured", "swap"]


def test_lamps_is_compared_with_an_interval(lamps: Executed) -> None:
    found = lamps.found["comparison"]
    assert (found["share_of_a_low"] < found["share_of_a_high"]).all()


def test_neo_draws_the_figures(neo: Executed) -> None:
    assert neo.figures == 3
    assert neo.said == []


def test_neo_gains_and_full_offload_does_not(neo: Executed) -> None:
    gains = neo.found["gains"]
    assert (gains["NEO"] > 1.0).all()
    assert gains["NEO"].idxmax() == 100
    assert (gains["FastDecode+"] < gains["NEO"]).all()
    assert (neo.found["loads"]["NEO"] < neo.found["loads"]["vLLM"]).loc[1.0:].all()


def test_neo_by_work_is_compared_with_an_interval(neo: Executed) -> None:
    found = neo.found["comparison"].loc["simulated_s"]
    assert found["share_of_a_low"] < found["share_of_a"] < found["share_of_a_high"] < 0.0
    assert found["resolved"]
