"""LAMPS: scheduling of requests that call tools by memory over time."""

from experiments.reproduce.claim import Paper, Plot
from experiments.reproduce.papers.lamps.elsewhere import ELSEWHERE
from experiments.reproduce.papers.lamps.headline import HEADLINE
from experiments.reproduce.papers.lamps.mechanisms import MECHANISMS
from experiments.reproduce.papers.lamps.plots import (
    draw_all,
    draw_kinds,
    draw_latency,
    draw_normalised,
)
from experiments.reproduce.papers.lamps.studies import BY_KIND, BY_RATE

PAPER = Paper(
    name="lamps",
    title="Fast Inference for Augmented Large Language Models (LAMPS), and InferCept",
    citation="R. Shahout, C. Liang, S. Xin, Q. Lao, Y. Cui, M. Yu, M. Mitzenmacher, "
    "arXiv 2410.18248; R. Abhyankar, Z. He, V. Srivatsa, H. Zhang, Y. Zhang, InferCept, ICML 2024, "
    "arXiv 2402.01869.",
    about="GPT-J-6B on one A100 limited to 40 GB by its published profile (Vicuna-13B where it is "
    "said), the six kinds of calls in equal shares, generated from published statistics; true "
    "lengths and durations are known, as in the main curves. floor(rate) + 1 requests at once, "
    "then Poisson arrivals for 1,800 s (900 s where it is said); all are served to the last, and "
    "the release's count, those alone that finish inside the window, stands beside. KV is not "
    "swapped unless it is said: by the releases' constants a swap hardly ever wastes least. LAMPS "
    "as released counts starvation for requests that have begun alone, LAMPS for all, as its text "
    "has it. Handling follows the papers' equations of waste.",
    claims=[*HEADLINE, *ELSEWHERE, *MECHANISMS],
    plots=[
        Plot(
            name="latency",
            title="Latency and time to first token, requests that finish inside the window",
            caption="Means of three seeds. Generated requests, GPT-J-6B, no swap.",
            study=BY_RATE,
            draw=draw_latency,
            height=330,
        ),
        Plot(
            name="latency-all",
            title="Latency and time to first token, all requests",
            caption="The same runs, served to the last request.",
            study=BY_RATE,
            draw=draw_all,
            height=330,
        ),
        Plot(
            name="normalised",
            title="Normalised latency of InferCept and vLLM",
            caption="Latency less calls, by output token; mean of all requests.",
            study=BY_RATE,
            draw=draw_normalised,
        ),
        Plot(
            name="strategies",
            title="Calls whose KV stays on the GPU",
            caption="By kind and rate (from light to dark), no swap.",
            study=BY_KIND,
            draw=draw_kinds,
        ),
    ],
)

__all__ = ["PAPER"]
