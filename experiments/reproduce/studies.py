"""Runs studies, each once, and judges claims by their data."""

from __future__ import annotations

import time
from typing import Any, TypeVar

from experiments.reproduce.claim import Claim, NotRun, Paper, Plot, Study
from experiments.reproduce.outcome import Outcome
from experiments.reproduce.plots import picture
from experiments.reproduce.verdict import Verdict
from experiments.reproduce.workers import Workers
from sim.core.errors import OrreryError

D = TypeVar("D")


class Studies:
    """Data of studies. `seconds`: what each took here, by paper and study."""

    def __init__(self, workers: Workers) -> None:
        self.seconds: dict[tuple[str, str], float] = {}
        self._workers = workers
        self._found: dict[Study[Any], Any] = {}
        self._not_run: dict[Study[Any], str] = {}

    def judge(self, paper: Paper) -> dict[str, Outcome]:
        """What became of each claim, by its id."""
        return {claim.id: self._judge(paper, claim) for claim in paper.claims}

    def draw(self, paper: Paper) -> dict[str, bytes]:
        """Each plot as a PNG, by its name; without those whose study was not run."""
        found = {}
        for plot in paper.plots:
            drawn = self._draw(paper, plot)
            if drawn is not None:
                found[plot.name] = drawn
        return found

    def _judge(self, paper: Paper, claim: Claim[Any, Any]) -> Outcome:
        accepted = claim.accepted.text(claim.unit)
        try:
            data = self._data(paper, claim.study)
            judged = claim.accepted.judge(claim.measure(data), claim.unit)
        except NotRun as why:
            return Outcome(Verdict.NOT_RUN, accepted, "", str(why))
        except OrreryError as error:
            raise type(error)(f"{paper.name}/{claim.id}: {error}") from error
        except Exception as error:
            error.add_note(f"in the claim {paper.name}/{claim.id}")
            raise
        return Outcome(judged.verdict, accepted, judged.simulated, judged.detail, judged.entries)

    def _draw(self, paper: Paper, plot: Plot[Any]) -> bytes | None:
        try:
            return picture(plot, self._data(paper, plot.study))
        except NotRun:
            return None
        except OrreryError as error:
            raise type(error)(f"{paper.name}/{plot.name}: {error}") from error

    def _data(self, paper: Paper, study: Study[D]) -> D:
        if study in self._not_run:
            raise NotRun(self._not_run[study])
        if study not in self._found:
            self._workers.title = f"{paper.name}: {study.name}"
            began = time.perf_counter()
            try:
                self._found[study] = study.run(self._workers)
            except NotRun as why:
                self._not_run[study] = str(why)
                raise
            finally:
                self.seconds[paper.name, study.name] = time.perf_counter() - began
        found: D = self._found[study]
        return found
