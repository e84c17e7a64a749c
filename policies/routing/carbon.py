"""Carbon-aware routing over sites (the spatial policy of the carbon literature)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from models.carbon.units import J_PER_KWH
from models.errors import ConfigError
from policies.routing.contract import Arrival, RoutingView, SiteView


class Hardware(NamedTuple):
    """A replica by its cost model: requests that it may serve at once, seconds between their ends
    when it is full, seconds and joules above idle of a prompt token, joules of an output token."""

    places: int
    turn_s: float
    prompt_s: float
    prompt_j: float
    output_j: float


class Carbon:
    """The replica where the request costs the fewest grams: intensity x PUE x energy of its tokens
    on that hardware, and of the network; of those that keep the latency objective. Of equals the
    nearest, then the least loaded.

    A replica has as many places as keep the time per output token of a full batch at `tpot_s` or
    below: `iteration + batch / output x prefill`, by its cost model on requests of `prompt_tokens`
    and `output_tokens` (at most as many as the engine runs at once). It will do while a place is
    free and round trip + prefill is at most `ttft_s`. A request beyond the places is expected to
    wait a turn for each one ahead of it, the time between two ends of a full batch; where no
    replica will do, the one with the least expected time to first token gets it.

    Energy counts above idle: what stands there draws its idle power wherever requests go. signal:
    "average", or "marginal" where every site has it, or "energy": joules alone, whatever the grids
    (a baseline). network_j_per_token: of tokens that leave their region, at the site's intensity.
    capacity: false ignores places and latency, to show what that does; energy is that of a batch at
    `tpot_s` still.
    """

    among_sites = True

    def __init__(
        self,
        ttft_s: float,
        tpot_s: float,
        prompt_tokens: int,
        output_tokens: int,
        signal: Literal["average", "marginal", "energy"] = "average",
        network_j_per_token: float = 0.0,
        capacity: bool = True,
    ) -> None:
        for key, value in (("ttft_s", ttft_s), ("tpot_s", tpot_s)):
            if not value > 0.0:
                raise ConfigError(f"routing.{key} = {value!r} must be > 0")
        for key, tokens in (("prompt_tokens", prompt_tokens), ("output_tokens", output_tokens)):
            if not tokens >= 1:
                raise ConfigError(f"routing.{key} = {tokens!r} must be at least 1")
        if signal not in ("average", "marginal", "energy"):
            raise ConfigError(f"routing.signal = {signal!r} is none of average, marginal, energy")
        if not 0.0 <= network_j_per_token < float("inf"):
            raise ConfigError(f"routing.network_j_per_token = {network_j_per_token!r} must be >= 0")
        self.ttft_s = ttft_s
        self.tpot_s = tpot_s
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.signal = signal
        self.network_j_per_token = network_j_per_token
        self.capacity = capacity
        self._hardware: list[Hardware] = []

    def choose(
        self, request: Arrival, view: RoutingView, rng: np.random.Generator, now_s: float
    ) -> int:
        sites, loads, origin = view.sites, view.outstanding_requests, request.origin
        if not self._hardware:
            self._hardware = [self._look_at(view, i) for i in range(len(sites))]
        prompt, output = request.prompt_tokens, self.output_tokens
        factors: dict[str, float] = {}
        found = waits = None
        for i in view.up:
            site, hardware, load = sites[i], self._hardware[i], loads[i]
            trip_s = view.round_trip_s(origin, i)
            late = 0.0
            if self.capacity:
                beyond = max(0, load + 1 - hardware.places)
                first_s = trip_s + prompt * hardware.prompt_s + beyond * hardware.turn_s
                if beyond or first_s > self.ttft_s:
                    late = first_s
            if late:
                if waits is None or (late, trip_s) < waits[:2]:
                    waits = (late, trip_s, i)
                continue
            if site.name not in factors:
                factors[site.name] = self._intensity(site, now_s) * site.pue(now_s)
            joules = prompt * hardware.prompt_j + output * hardware.output_j
            if trip_s > 0.0 and site.name != origin:
                joules += (prompt + output) * self.network_j_per_token
            grams = joules * factors[site.name] / J_PER_KWH
            offer = (grams, trip_s, load, i)
            if found is None or offer < found:
                found = offer
        if found is not None:
            return found[-1]
        assert waits is not None
        return waits[-1]

    def _intensity(self, site: SiteView, now_s: float) -> float:
        if self.signal == "energy":
            return 1.0
        if self.signal == "average":
            return site.intensity(now_s)
        marginal = site.marginal(now_s)
        if marginal is None:
            raise ConfigError(
                f"routing.signal: marginal, but sites.{site.name} has no marginal intensity"
            )
        return marginal

    def _look_at(self, view: RoutingView, replica: int) -> Hardware:
        prompt, output = self.prompt_tokens, self.output_tokens
        context = prompt + output // 2
        prefill_s, prefill_j = view.iteration(replica, 0, 0, prompt)

        def per_token_s(batch: int) -> float:
            return (
                view.iteration(replica, batch, batch * context, 0)[0] + batch / output * prefill_s
            )

        low, high = 1, view.most_sequences
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if per_token_s(middle) <= self.tpot_s else (low, middle - 1)
        _, decode_j = view.iteration(replica, low, low * context, 0)
        return Hardware(
            places=low,
            turn_s=output * per_token_s(low) / low,
            prompt_s=prefill_s / prompt,
            prompt_j=prefill_j / prompt,
            output_j=decode_j / low,
        )
