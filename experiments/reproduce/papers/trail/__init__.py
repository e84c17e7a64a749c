"""TRAIL: shortest predicted remaining first with limited preemption."""

from __future__ import annotations

from experiments.reproduce.claim import Paper, Plot
from experiments.reproduce.papers.trail import predictors, theory
from experiments.reproduce.papers.trail.headline import HEADLINE
from experiments.reproduce.papers.trail.mechanisms import MECHANISMS
from experiments.reproduce.papers.trail.plots import draw_lock, draw_rates, draw_theory, draw_wide
from experiments.reproduce.papers.trail.studies import BY_LOCK, BY_RATE, WIDE

PAPER = Paper(
    name="trail",
    title="Don't Stop Me Now: Embedding Based Scheduling for LLMs",
    citation="R. Shahout, E. Malach, C. Liu, W. Jiang, M. Yu, M. Mitzenmacher, ICLR 2025 "
    "(arXiv 2410.01035).",
    about="Llama-3-8B on one A100 80 GB by the roofline with the default efficiency, Alpaca's "
    "lengths, finite traces of 1,000 requests served to the last (4,000 with vLLM's 256 slots), "
    "48 slots as in the authors' release, Poisson arrivals of the same times and lengths for all "
    "policies, eight seeds (four with 256 slots). The release serves 10, 20 and 30 requests/s; "
    "here 48 slots serve 11 to 12. Predictions come from a model of the classifiers' errors, not "
    "from hidden states. Memory does not bind with these lengths on this card: where C is varied "
    "and where rules of rank are compared, KV is cut to 1,000 or 600 blocks of 16 tokens as said. "
    "The release keeps a displaced request's KV in a prefix cache, from which it may go; here it "
    "stays until blocks run out. Single-server claims run on the same engine, with one slot and a "
    "constant step.",
    claims=[*HEADLINE, *predictors.CLAIMS, *MECHANISMS, *theory.CLAIMS],
    plots=[
        Plot(
            name="rates",
            title="Latency and time to first token, 48 slots",
            caption="Means of eight seeds, 1,000 requests each.",
            study=BY_RATE,
            draw=draw_rates,
            height=330,
        ),
        Plot(
            name="wide",
            title="Latency and time to first token, 256 slots",
            caption="Means of four seeds, 4,000 requests each.",
            study=WIDE,
            draw=draw_wide,
            height=330,
        ),
        Plot(
            name="lock",
            title="The lock: TRAIL by C with 1,000 blocks of KV, 20 requests/s",
            caption="C = 0 displaces nobody, C = 1 is SPRPT.",
            study=BY_LOCK,
            draw=draw_lock,
            height=260,
        ),
        Plot(
            name="theory",
            title="M/G/1 with limited preemption, in mean services",
            caption="Lines: closed form. Dots: the serving engine with one slot, 95 % intervals.",
            study=theory.THEORY,
            draw=draw_theory,
            height=300,
        ),
    ],
)

__all__ = ["PAPER"]
