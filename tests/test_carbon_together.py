"""Every system that runs on a cluster, on one server in one run: nothing is lost by any method."""

from __future__ import annotations

from math import fsum

import pytest

from experiments.compose import compose
from sim.core.result import Result
from sim.core.run import run

EXPERIMENT = """# @package _global_
# Served requests, jobs and packets
defaults:
  - carbon_jobs
  - /network_function@program: nat
  - /traffic: reference
  - /packets: zipf
  - /packet_stack@stack: poll_mode
  - /queue_limits: default
  - /traffic_monitor: default
  - /partition: cora_static
  - /system@systems.dataplane: dataplane
  - /hardware/smartnic@node.smartnic: agilio-cx
  - override /hardware/cpu@node.cpu: server-32
  - override /system@systems.serving: serving
  - override /jobs: table
  - _self_
node: {cores: 64}
until_s: 6.0
warm_up_s: 0.1
burst: 1
cores: null
fixed_cores: 4
steering: null
window: null
decide_s: null
learn: false
own_caches: false
rates: true
informed: false
npu_model: asymptotic
"""
JOBS = """arrival_s,work_s,deadline_s,least_gpus,most_gpus
0,2,5.5,1,2
1,1.5,5.5,1,1
"""
#: Seconds of a step of the grid.
STEP_S = 1.8
METHODS = {"usage_and_reservation", "spread", "usage", "equal", "shapley", "shapley_nested"}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Result:
    own = tmp_path_factory.mktemp("own")
    (own / "experiment").mkdir()
    (own / "experiment" / "together.yaml").write_text(EXPERIMENT)
    (own / "jobs.csv").write_text(JOBS)
    words = [
        "experiment=together",
        f"jobs.path={own / 'jobs.csv'}",
        "shifting=carbon_scaler",
        *(f"systems.jobs.{key}_s=0.1" for key in ("iteration", "checkpoint", "restore")),
        "cluster.nodes.node.count=1",
        "workload.count=12",
        "arrivals.rate_rps=6",
        "carbon=requests",
        "carbon.shapley_spans_s=[4,1]",
        f"sites.sites.home.intensity.step_s={STEP_S}",
        "sites.sites.home.intensity.days=0.125",
        "series_interval_s=null",
    ]
    return run(compose(words, config_dir=own))


def test_every_joule_and_gram_is_booked_once(together: Result) -> None:
    books = together.table("carbon")
    assert set(books.tenant) == {"serving", "jobs", "dataplane", "idle", "shared"}
    assert books.start_s.nunique() >= 4
    # Links draw the same whether anybody sends.
    assert set(books.account[books.component == "network"]) == {"idle"}
    for key, figure in (
        ("energy_j", "energy_j"),
        ("operational_g", "carbon.operational_g"),
        ("embodied_g", "carbon.embodied_g"),
    ):
        assert books[key].min() >= 0.0
        assert fsum(books[key]) == pytest.approx(together.number(figure), rel=1e-9)
    # In a step all joules have one intensity, whoever drew them.
    for _, step in books[books.energy_j > 0.0].groupby("start_s"):
        per_j = step.operational_g / step.energy_j
        assert per_j.max() == pytest.approx(per_j.min(), rel=1e-9)
    assert together.number("facility_energy_j") == pytest.approx(
        1.12 * together.number("energy_j"), rel=1e-9
    )


def test_every_method_hands_out_all_of_it(together: Result) -> None:
    handed = together.table("carbon_attribution")
    assert set(handed.method) == METHODS
    for method, rows in handed.groupby("method"):
        assert fsum(rows.grams) == pytest.approx(together.number("carbon_g"), rel=1e-9), method
        assert rows.grams.min() >= 0.0
        own = dict(zip(rows.account, rows.grams, strict=True))
        assert min(own["serving/chat"], own["jobs/requests"], own["dataplane"]) > 0.0
        # Rounding is nobody who might have a part.
        assert own.get("serving", 0.0) < 1e-12
    spread = set(handed.account[handed.method == "spread"])
    assert not {"idle", "shared"} & spread


def test_what_a_request_and_a_job_have_is_their_tenants(together: Result) -> None:
    books = together.table("carbon")
    for table, tenant, accounts in (
        ("carbon_requests", "serving", ("prefill", "decode")),
        ("jobs_carbon_requests", "jobs", ("work",)),
    ):
        own = books[(books.tenant == tenant) & books.account.isin(accounts)]
        rows = together.table(table)
        for key in ("energy_j", "operational_g", "embodied_g"):
            assert fsum(rows[key]) == pytest.approx(fsum(own[key]), rel=1e-9)
