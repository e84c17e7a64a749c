"""NEO: decode attention and KV of some requests on the host."""

from __future__ import annotations

from experiments.reproduce.claim import Paper, Plot
from experiments.reproduce.papers.neo import beyond, effects, headlines, hosts, laws, online
from experiments.reproduce.papers.neo.plots import (
    draw_effects,
    draw_hosts,
    draw_latency,
    draw_machines,
    draw_work,
)
from experiments.reproduce.papers.neo.studies import A10G, BY_RATE, H100, T4

PAPER = Paper(
    name="neo",
    title="NEO: Saving GPU Memory Crisis with CPU Offloading for Online LLM Inference",
    citation="X. Jiang, Y. Zhou, S. Cao, I. Stoica, M. Yu, MLSys 2025 (arXiv 2411.01142).",
    about="Llama-2-7B on a T4 (g4dn.4xlarge), Llama-3.1-8B on an A10G (g5.2xlarge to 16xlarge), "
    "Llama-3.1-70B on two H100. Memory for KV, budgets and swap space are the release's; "
    "efficiency of GPUs, PCIe and hosts comes from an iteration-level study of the published "
    "results (T4, A10G with 2xlarge and 8xlarge), other hosts by 25 GB/s for each chiplet of "
    "eight cores, H100 by nothing but assumptions. Requests come by Poisson, or all at once with "
    "lengths within a tenth of the nominal ones; 2,000 of them (1,000 on the T4 with outputs of "
    "200 and more), three seeds, the same requests for all systems. Latency of a token is (finish "
    "- arrival) / output tokens, without the first quarter of the requests. Throughput is taken "
    "until the last request is done, and from the 30th to the 70th of 100 completions, as the "
    "paper does: completions come in cohorts, so the latter is noisy. NEO by work is NEO without "
    "its rule that the GPUs must hide the host: each iteration is the one whose parts would take "
    "longest apart for the time that they take together.",
    claims=[
        *online.CLAIMS,
        *hosts.CLAIMS,
        *headlines.CLAIMS,
        *effects.CLAIMS,
        *laws.CLAIMS,
        *beyond.CLAIMS,
    ],
    plots=[
        Plot(
            name="latency",
            title="Latency of a token along the rate of arrivals, T4",
            caption="Dots: means of three seeds. Crosses: read off figure 6c.",
            study=BY_RATE,
            draw=draw_latency,
            height=330,
        ),
        Plot(
            name="hosts",
            title="NEO on hosts of 4 to 32 cores, A10G, prompts of 1,000",
            caption="Means of three seeds, shades: 95 % intervals. Crosses: read off figure 10a.",
            study=A10G,
            draw=draw_hosts,
            height=330,
        ),
        Plot(
            name="work",
            title="NEO by work against NEO and full offload, A10G, prompts of 1,000",
            caption="Until the last request is done; means of three seeds.",
            study=A10G,
            draw=draw_work,
            height=260,
        ),
        Plot(
            name="t4",
            title="The same on the T4",
            caption="Until the last request is done; means of three seeds.",
            study=T4,
            draw=draw_machines,
            height=280,
        ),
        Plot(
            name="h100",
            title="The same on two H100",
            caption="Until the last request is done; means of three seeds.",
            study=H100,
            draw=draw_machines,
            height=280,
        ),
        Plot(
            name="effects",
            title="What makes NEO's gain, A10G on 8xlarge",
            caption="Means of three seeds. Split: two sub-batches, the host at work.",
            study=A10G,
            draw=draw_effects,
            width=640,
            height=280,
        ),
    ],
)

__all__ = ["PAPER"]
