"""Batch jobs that a shifting policy plans, on the GPUs of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

import simpy

from policies.shifting.contract import Run, Shifting
from sim.core.environment import PLAN
from sim.core.errors import CapacityError, ConfigError
from sim.core.result import Draft
from sim.core.simulation import Simulation
from sim.hardware.device import DeviceGroup
from sim.hardware.facts import HoldersChanged
from sim.hardware.metering import MeterOpened
from sim.training.facts import JobArrived, JobEnded, JobPlanned, JobRan
from sim.training.forecast import Forecast
from sim.training.job import ROUNDING_S, Job
from sim.training.job_meter import JobMeter
from sim.training.job_records import JobRecords
from sim.training.planner import Planner, keeps_a_way_out
from sim.training.pool import Pool
from sim.training.stint import Overheads, Stint
from workloads.job_demand import JobDemand, JobWorkload

_RULES = ("run", "reject", "error")


class Jobs:
    """Elastic batch jobs: each is planned on arrival from a forecast of the site's grid and runs as
    planned, on GPUs that it takes at the start of a run and gives back at its end.

    It is planned again at the end of a run, where what remains of the plan does not do the work
    that is left (after devices that were slow or failed, say) or leaves no time to pause; with each
    new forecast while it waits; and where no GPUs are free when it is to start: it then begins as
    soon as there are and its new plan says so. Where some are free, it begins with fewer than
    planned. Of several that wait, the one of the earliest deadline comes first. A policy plans each
    job as if the GPUs were its alone, as published: where many choose the same clean hours, some
    wait, and may come too late (`deadlines_missed`, `waited_s`). Power caps of when it arrives are
    planned with. A run under way is not broken off for another plan, and the last run of a plan
    lasts until the work is done. A job does not pause where that would be shorter than the
    overheads, or would cost its deadline.

    `iteration_s`: of an iteration on a job's least number of GPUs; runs end with an iteration.
    `checkpoint_s`, `restore_s`, `overhead_power_share`: to write a job's state when it is suspended
    and to read it when it goes on (a change of the number of GPUs is both). `cannot_meet`: what
    happens to a job that cannot be done by its deadline: "run" (at once, on as many GPUs as it may
    have), "reject" (unless it has begun) or "error". `gpu`: model of the GPUs (None: the cluster's
    one).
    """

    def __init__(
        self,
        *,
        workload: JobWorkload,
        shifting: Shifting,
        forecast: Forecast,
        iteration_s: float,
        checkpoint_s: float = 0.0,
        restore_s: float = 0.0,
        overhead_power_share: float = 0.0,
        cannot_meet: str = "run",
        gpu: str | None = None,
        name: str = "jobs",
        source: Mapping[str, str] | None = None,
    ) -> None:
        if not 0.0 < iteration_s < inf:
            raise ConfigError(f"{name}.iteration_s is {iteration_s!r}; a time > 0")
        for key, value in (("checkpoint_s", checkpoint_s), ("restore_s", restore_s)):
            if not 0.0 <= value < inf:
                raise ConfigError(f"{name}.{key} is {value!r}; a time >= 0")
        if not 0.0 <= overhead_power_share <= 1.0:
            raise ConfigError(
                f"{name}.overhead_power_share is {overhead_power_share!r}; it must be in [0, 1]"
            )
        if cannot_meet not in _RULES:
            raise ConfigError(f"{name}.cannot_meet is {cannot_meet!r}; one of {', '.join(_RULES)}")
        self.name = name
        self.workload = workload
        self._planner = Planner(shifting, forecast)
        self.iteration_s = iteration_s
        self.overheads = Overheads(checkpoint_s, restore_s, overhead_power_share)
        self.cannot_meet = cannot_meet
        self.source = source
        self._gpu = gpu
        self._arrived = 0
        self._exhausted = False
        #: Jobs with a plan, by id, that hold no GPUs; what wakes them; those that are due.
        self._waiting: dict[int, Job] = {}
        self._alarms: dict[int, simpy.Event] = {}
        self._due: dict[int, float] = {}
        self._stints: dict[int, Stint] = {}
        self._dispatching = False

    def start(self, simulation: Simulation) -> None:
        """Look at the GPUs and wait for the first job. Raises ConfigError where there are none that
        fit, or no site."""
        self._simulation = simulation
        self._pool = Pool(simulation, self._gpu, self.name)
        self._records = JobRecords(simulation.results, self.name)
        self._told = simulation.listeners(JobRan)
        simulation.facts.subscribe(HoldersChanged, lambda _: self._ask())
        self._meter: JobMeter | None = None
        if simulation.listeners(MeterOpened):
            now = simulation.now
            self._meter = JobMeter(now)
            pool = DeviceGroup(self._pool.gpus, tenant=self.name)
            simulation.facts.emit(MeterOpened(now, self.name, pool, self._meter))
        site = self._pool.site
        if site.clock is not None:
            site.clock.check(self.workload, f"{self.name}.workload", site.name)
            site.clock.check(self._planner.shifting, f"{self.name}.shifting", site.name)
        self._planner.forecast.begin(simulation, site, self.name, self._renewed)
        self._source = self._demands()
        self._await_next()

    # Arrivals

    def _demands(self) -> Iterator[JobDemand]:
        before = 0.0
        for demand in self.workload.jobs(self._simulation.stream(f"{self.name}.workload")):
            if not (demand.arrival_s >= before and demand.work_s > 0.0):
                raise ConfigError(
                    f"{self.name}: job {self._arrived} arrives at {demand.arrival_s!r} s, after "
                    f"one at {before!r} s, with {demand.work_s!r} s of work"
                )
            before = demand.arrival_s
            yield demand

    def _await_next(self) -> None:
        demand = next(self._source, None)
        if demand is None:
            self._exhausted = True
            return
        self._simulation.at(demand.arrival_s, lambda _: self._arrive(demand))

    def _arrive(self, demand: JobDemand) -> None:
        there = len(self._pool.gpus)
        levels = tuple(level for level in demand.levels if level.gpus <= there)
        if not levels:
            raise CapacityError(
                f"{self.name}: job {self._arrived} needs {demand.levels[0].gpus} GPUs, there are "
                f"{there} of {self._pool.spec.name}"
            )
        levels = self._pool.worth_having(levels)
        paces, added_w = self._pool.paces(levels), self._pool.added_w(levels)
        demand = demand._replace(levels=levels)
        job = Job(self._arrived, demand, self.iteration_s, paces, added_w)
        self._arrived += 1
        self._simulation.facts.emit(JobArrived(self._simulation.now, job))
        self._await_next()
        self._plan_waiting(job)
        self._check_done()

    # Plans

    def _plan_waiting(self, job: Job) -> None:
        """Plan a job that holds no GPUs, and wake it when it is to start."""
        now = self._simulation.now
        from_s, top = now + self._restores_s(job), len(job.demand.levels) - 1
        runs = None if job.late else self._planner.plan(job, from_s)
        if runs is None:
            if not job.late and self.cannot_meet == "error":
                raise CapacityError(
                    f"{self.name}: job {job.id} has {job.work_left_s:g} s of work left and "
                    f"{job.demand.deadline_s - now:g} s to its deadline"
                )
            if self.cannot_meet == "reject" and job.start_s < 0.0:
                self._end(job, "rejected")
                return
            job.late = True
        if runs is None or not keeps_a_way_out(job, runs, self.overheads.pause_s):
            runs = [job.in_one_go(from_s, top)]
        job.runs = runs
        self._simulation.facts.emit(JobPlanned(now, job, runs))
        self._wake_later(job)

    def _restores_s(self, job: Job) -> float:
        return self.overheads.restore_s if job.begun else 0.0

    def _wake_later(self, job: Job) -> None:
        """It waits for its next run, and is to have its state by the start of it."""
        self._cancel_alarm(job)
        self._waiting[job.id] = job
        start_s = job.runs[0].start_s - self._restores_s(job)
        if start_s <= self._simulation.now:
            self._be_due(job)
        else:
            self._alarms[job.id] = self._simulation.at(start_s, lambda _: self._be_due(job))

    def _cancel_alarm(self, job: Job) -> None:
        alarm = self._alarms.pop(job.id, None)
        if alarm is not None:
            self._simulation.cancel(alarm)

    def _be_due(self, job: Job) -> None:
        self._alarms.pop(job.id, None)
        self._due.setdefault(job.id, self._simulation.now)
        self._ask()

    def _renewed(self) -> None:
        """There is a new forecast."""
        for job in list(self._waiting.values()):
            if job.id not in self._due:
                self._plan_waiting(job)
        self._check_done()

    # Starts and ends

    def _ask(self) -> None:
        """Look for GPUs for those that are due, after all else of this instant."""
        if self._due and not self._dispatching:
            self._dispatching = True
            self._simulation.at(self._simulation.now, self._dispatch, PLAN)

    def _dispatch(self, _: simpy.Event) -> None:
        now = self._simulation.now
        free = self._pool.free()
        order = sorted(self._due, key=lambda i: (self._waiting[i].demand.deadline_s, i))
        for number in order:
            job = self._waiting[number]
            if job.demand.levels[0].gpus > free:
                job.blocked = True
                continue
            if job.blocked:
                # What was planned for an earlier time is planned again.
                job.blocked = False
                since_s = self._due.pop(number)
                job.waited_s += now - since_s
                self._plan_waiting(job)
                if number not in self._due:
                    continue
            free -= self._start(job, free)
        self._dispatching = False
        self._check_done()

    def _start(self, job: Job, free: int) -> int:
        """Give it GPUs now. Returns how many."""
        del self._due[job.id], self._waiting[job.id]
        run = job.runs.pop(0)
        levels = job.demand.levels
        level = max(i for i in range(run.level + 1) if levels[i].gpus <= free)
        group = self._pool.take(levels[level].gpus)
        if job.start_s < 0.0:
            job.start_s = self._simulation.now
        job.status = "running"
        stint = Stint(job, level, group, self.overheads, self)
        self._stints[job.id] = stint
        if self._meter is not None:
            self._meter.begin(stint)
        stint.begin(inf if not job.runs and level == run.level else run.end_s)
        return stint.gpus

    def stop(self, stint: Stint) -> float:
        """See `Owner`: a run has come to its end with work left."""
        job, now = stint.job, self._simulation.now
        ready_s = now + self.overheads.pause_s
        runs = job.runs
        on_track = job.planned_s() >= job.work_left_s - ROUNDING_S
        if not on_track or runs[0].start_s < ready_s - ROUNDING_S:
            planned = self._planner.plan(job, ready_s)
            if planned is None or not keeps_a_way_out(job, planned, self.overheads.pause_s):
                planned = [self._soonest(stint, ready_s)]
            runs = planned
            self._simulation.facts.emit(JobPlanned(now, job, runs))
        first = runs[0]
        if first.level == stint.level and first.start_s <= ready_s + ROUNDING_S:
            job.runs = runs[1:]
            return first.end_s if job.runs else inf
        job.runs = runs
        job.suspensions += 1
        return now

    def _soonest(self, stint: Stint, ready_s: float) -> Run:
        """What ends a job's work first: to go on, or to change to most GPUs."""
        job = stint.job
        change = job.in_one_go(ready_s, len(job.demand.levels) - 1)
        on = job.in_one_go(self._simulation.now, stint.level)
        return change if change.end_s < on.end_s else job.in_one_go(ready_s, stint.level)

    def over(self, stint: Stint) -> None:
        """See `Owner`."""
        job = stint.job
        del self._stints[job.id]
        if self._meter is not None:
            self._meter.end(stint)
        self._pool.give_back(stint.group)
        if job.left:
            job.status = "waiting"
            self._wake_later(job)
        else:
            job.finish_s = self._simulation.now
            self._end(job, "finished")
            self._check_done()

    def _end(self, job: Job, status: str) -> None:
        job.status = status
        self._cancel_alarm(job)
        self._waiting.pop(job.id, None)
        if self._meter is not None:
            self._meter.ended(job)
        self._records.end(job)
        self._simulation.facts.emit(JobEnded(self._simulation.now, job))

    def lost(self, stint: Stint) -> None:
        """See `Owner`."""
        if self._meter is not None:
            self._meter.lost(stint)

    def phase_ended(self, stint: Stint, start_s: float) -> None:
        """See `Owner`."""
        job, now = stint.job, self._simulation.now
        held_s = stint.gpus * (now - start_s)
        job.gpu_s += held_s
        if stint.what != "work":
            job.overhead_gpu_s += held_s
        if self._meter is not None:
            self._meter.note(stint)
        if held_s:
            self._records.ran(job.id, start_s, now, stint.gpus, stint.what)
            if self._told:
                names = [device.name for device in stint.group.devices]
                fact = JobRan(start_s, now, job, names, stint.what)
                for listener in self._told:
                    listener(fact)

    # The run of the simulation

    def _check_done(self) -> None:
        if self.done():
            self._simulation.check_done()

    def done(self) -> bool:
        """Whether all jobs have come and ended."""
        return self._exhausted and not self._waiting and not self._stints

    def snapshot(self) -> dict[str, object]:
        """Who waits for what."""
        return {
            "running": sorted(self._stints),
            "waiting for GPUs": sorted(self._due),
            "planned": sorted(set(self._waiting) - set(self._due)),
        }

    def finish(self, results: Draft) -> None:
        """Figures of the run."""
        now = self._simulation.now
        for stint in self._stints.values():
            stint.close()
        for number, since_s in self._due.items():
            self._waiting[number].waited_s += now - since_s
        cut: dict[int, Any] = {number: stint.job for number, stint in self._stints.items()}
        for number in sorted(cut | self._waiting):
            job = cut.get(number) or self._waiting[number]
            job.status = "unfinished"
            self._records.end(job)
        results.figures(self.name, self._records.close())
        capacity_s = len(self._pool.gpus) * now
        used_s = results.summary[f"{self.name}.gpu_s"]
        assert isinstance(used_s, float)
        results.figure(f"{self.name}.gpu_share", used_s / capacity_s if capacity_s else None)
