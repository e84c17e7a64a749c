"""Where requests enter: the rule for those that never fit, prediction, routing, accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial

from models.capped_cost import CappedCost
from models.prediction import Predictor
from models.tool_calls.durations import DurationPredictor
from policies.routing.contract import Routing, SiteView
from sim.core.errors import CapacityError, ConfigError, LawBroken
from sim.core.simulation import Simulation
from sim.hardware.device import Device
from sim.serving.facts import RequestArrived, RequestFinished, RequestRejected
from sim.serving.foretelling import check_calls, foretell
from sim.serving.limits import EngineLimits
from sim.serving.predictions import Predictions
from sim.serving.regions import Regions, Trips
from sim.serving.replica import Replica
from sim.serving.request import Request
from workloads.demand import Demand


class Gateway:
    """Gives each request to a replica and keeps the accounts that routing policies see.

    `context_tokens`: the longest prompt + output that the model takes. `frontend`: (seconds,
    seconds per prompt token) between a request's arrival and its replica's queue.
    """

    def __init__(
        self,
        simulation: Simulation,
        name: str,
        replicas: Sequence[Replica],
        routing: Routing,
        predictor: Predictor | None,
        predictions: Predictions | None,
        durations: DurationPredictor,
        limits: EngineLimits,
        context_tokens: int,
        frontend: tuple[float, float],
        on_end: Callable[[Request], None],
    ) -> None:
        self.replicas = list(replicas)
        self.up: list[int] = list(range(len(self.replicas)))
        self.on_up: list[Callable[[], None]] = []
        self.outstanding_tokens: list[float] = [0] * len(self.replicas)
        self.outstanding_requests = [0] * len(self.replicas)
        self.arrived = self.finished = self.rejected = self.truncated = self.rerouted = 0
        self._simulation = simulation
        self._env = simulation.env
        self._name = name
        self._routing = routing
        self._predictor = predictor
        self._predictions = predictions
        self._durations = durations
        self._limits = limits
        self._context_tokens = context_tokens
        # The last output token's KV is never written.
        most_kv = min(r.pool.total_blocks for r in self.replicas) * limits.block_tokens + 1
        self._most_tokens = min(context_tokens, most_kv)
        self._frontend_s, self._frontend_per_token_s = frontend
        self._frontend_s += getattr(predictor, "arrival_s", 0.0)
        self._on_end = on_end
        sites = simulation.sites
        self._one_place = sites is None or len(sites.sites) == 1
        self._trips: Trips | None = None
        if sites is not None and sites.round_trips_s is not None:
            self._trips = Trips(simulation, self._regions)
        self._held: list[Request] = []
        self._travelling: dict[int, Request] = {}
        self._rng_routing = simulation.stream(f"{name}.routing")
        self._rng_prediction = simulation.stream(f"{name}.prediction")
        self._arrivals = simulation.listeners(RequestArrived)
        self._ends = simulation.listeners(RequestFinished)
        for replica in self.replicas:
            replica.on_end = self.ended
            replica.calls.on_return = self.returned
            for device in replica.group.devices:
                device.on_change.append(partial(self._changed, replica))

    @property
    def most_sequences(self) -> int:
        """Requests that a replica runs at once at most."""
        return self._limits.max_sequences

    @cached_property
    def _regions(self) -> Regions:
        return Regions(self._simulation, self.replicas)

    @property
    def sites(self) -> Sequence[SiteView]:
        """The site of each replica. Raises ConfigError where the run has none."""
        return self._regions.outlooks

    def round_trip_s(self, origin: str, replica: int) -> float:
        """Network time from a region to a replica and back; 0 where none is given."""
        return 0.0 if self._trips is None else self._regions.round_trip_s(origin, replica)

    def iteration(
        self, replica: int, decodes: int, context_tokens: int, prompt_tokens: int
    ) -> tuple[float, float]:
        """Seconds, and joules above idle, of an iteration on a replica's hardware, under its power
        cap."""
        chosen = self.replicas[replica]
        chunks = ((0, prompt_tokens),) if prompt_tokens else ()
        cost = chosen.cost.step(decodes, context_tokens, chunks, decodes + len(chunks))
        if chosen.group.limit is not None:
            cost = CappedCost(cost, chosen.group.limit, 1.0 / chosen.group.slow)
        above_w = sum(device.meter.peak_w - device.meter.idle_w for device in chosen.group.devices)
        return cost.step(0), cost.active_step(0) * above_w

    def unfinished(self) -> int:
        """Requests that have arrived and have neither finished nor been rejected."""
        return self.arrived - self.finished - self.rejected

    def in_flight(self) -> list[Request]:
        """The unfinished requests."""
        requests = [*self._held, *self._travelling.values()]
        if self._trips is not None:
            requests += self._trips.requests()
        for replica in self.replicas:
            requests += replica.requests()
        return requests

    def ahead(self, demands: Iterator[Demand]) -> Iterator[Demand]:
        """The demands that a client is going to submit, in this order: those that are predicted
        in blocks are looked at ahead of time."""
        return demands if self._predictions is None else self._predictions.ahead(demands)

    def submit(self, demand: Demand) -> Request:
        """A request arrives now. Raises CapacityError if it can never fit and the rule is
        "error", ConfigError if it comes from a region where sites know none."""
        now = self._env.now
        prompt, output, _, kind, calls, origin = demand
        if self._trips is not None:
            self._trips.check(origin)
        elif origin and self._one_place:
            raise ConfigError(
                f"client: a request comes from region {origin!r}, but there are no several sites; "
                "choose sites=two_regions cluster=two_regions, say, or a client without regions"
            )
        number = self.arrived
        self.arrived += 1
        rejected = ""
        size = prompt + output
        if calls:
            check_calls(demand, number)
            size = demand.total_tokens
            if calls[-1].after_tokens == output:
                # Nothing reads what that call returns.
                size -= calls[-1].returned_tokens
        if size > self._most_tokens:
            prompt, output, rejected = self._overlong(number, demand)
        predicted = None
        if self._predictions is not None:
            predicted = self._predictions.first(prompt, output)
        elif self._predictor is not None:
            predicted = self._predictor.predict(prompt, output, self._rng_prediction)
        request = Request(number, now, prompt, output, kind, predicted)
        request.origin = origin
        if calls:
            rng = self._simulation.stream(f"{self._name}.calls")
            foretold = foretell(demand, self._predictor, self._durations, rng)
            request.expect_calls(calls, foretold)
        if self._arrivals:
            fact = RequestArrived(now, request)
            for listener in self._arrivals:
                listener(fact)
        request._predictions = self._predictions
        if rejected:
            self.rejected += 1
            if self._predictions is not None:
                self._predictions.forget(request)
            self._simulation.facts.emit(RequestRejected(now, request, rejected))
            self._on_end(request)
            return request
        delay = self._frontend_s + self._frontend_per_token_s * prompt
        if delay > 0.0:
            self._travelling[number] = request
            self._simulation.at(now + delay, lambda _: self._land(request))
        else:
            self._route(request)
        return request

    def ended(self, request: Request) -> None:
        """A replica has finished a request."""
        replica = request.replica
        if self._predictions is not None:
            self._predictions.forget(request)
        if replica >= 0:
            # Else its replica failed during its last call, and counts it no more.
            self.outstanding_tokens[replica] -= request.prompt_tokens + (request._predicted or 0)
            self.outstanding_requests[replica] -= 1
        if self._trips is None:
            self._home(request)
        else:
            self._trips.bring_home(request, self._home)

    def _home(self, request: Request) -> None:
        """A request's last token has reached who asked."""
        self.finished += 1
        if self._ends:
            fact = RequestFinished(request.finish_s, request)
            for listener in self._ends:
                listener(fact)
        self._on_end(request)

    def returned(self, request: Request) -> None:
        """A call has returned to a request."""
        if request.replica >= 0:
            self.replicas[request.replica].submit(request)
        else:
            # Its replica failed meanwhile.
            self.rerouted += 1
            self._route(request)

    def snapshot(self) -> dict[str, object]:
        """Who waits where."""
        return {
            "held": len(self._held),
            "replicas": [
                {
                    "up": replica.group.up,
                    "waiting": replica.queued,
                    "prefilling": len(replica.prefilling),
                    "decoding": replica.batch.size,
                    "free_blocks": replica.pool.free,
                }
                for replica in self.replicas
            ],
        }

    def _overlong(self, number: int, demand: Demand) -> tuple[int, int, str]:
        """The `over_context` rule: prompt and output as served, and why it is rejected."""
        rule = self._limits.over_context
        most = self._most_tokens
        prompt, output = demand.prompt_tokens, demand.output_tokens
        # The output of a request with calls is not shortened: its calls stand at fixed tokens.
        returned = demand.total_tokens - prompt - output
        if rule == "truncate" and not (demand.calls and output + returned >= most):
            self.truncated += 1
            output = min(output, most - 1)
            return most - output - returned, output, ""
        which = "context" if most == self._context_tokens else "kv"
        if rule == "error":
            limit = "the model's context" if which == "context" else "the KV pool"
            raise CapacityError(
                f"request {number}: {prompt} prompt + {output} output tokens exceed {limit} of "
                f"{most} tokens; set engine.over_context to reject or truncate"
            )
        return prompt, output, which

    def _land(self, request: Request) -> None:
        del self._travelling[request.id]
        self._route(request)

    def _route(self, request: Request, more: bool = False) -> None:
        if not self.up:
            self._held.append(request)
            return
        now = self._env.now
        chosen = self._routing.choose(request, self, self._rng_routing, now)
        if not (0 <= chosen < len(self.replicas) and self.replicas[chosen].group.up):
            raise LawBroken(f"routing: request {request.id} to replica {chosen}, up: {self.up}")
        self.outstanding_tokens[chosen] += request.prompt_tokens + (request._predicted or 0)
        self.outstanding_requests[chosen] += 1
        if self._trips is None:
            self.replicas[chosen].submit(request, more)
        else:
            self._trips.send(request, self.replicas[chosen], more)

    def _changed(self, replica: Replica, _: Device) -> None:
        """A device of a replica failed, came back or changed speed."""
        now_up = replica.group.up
        was_up = replica.index in self.up
        if was_up and not now_up:
            self.up.remove(replica.index)
            lost = replica.drain()
            if self._trips is not None:
                lost = sorted([*lost, *self._trips.turn_back(replica)], key=lambda r: r.id)
            self.outstanding_tokens[replica.index] = 0
            self.outstanding_requests[replica.index] = 0
            self.rerouted += len(lost)
            if lost:
                self._simulation.at(self._simulation.now, lambda _: self._again(lost))
        elif now_up and not was_up:
            self.up.append(replica.index)
            self.up.sort()
            held, self._held = self._held, []
            self._again(held)
            replica.wake()
        else:
            return
        for callback in self.on_up:
            callback()

    def _again(self, requests: Sequence[Request]) -> None:
        for request in requests:
            self._route(request, more=True)
