"""Figures of merit: carbon for a request, for tokens, for delay."""

from __future__ import annotations

from dataclasses import dataclass

from models.carbon.units import G_PER_KG, J_PER_KWH
from models.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """A system over a time: carbon of operation and embodied, and its computers' energy.

    Only what was done counts: `requests`, `prefill_tokens`, `decode_tokens`.
    """

    operational_g: float
    embodied_g: float
    it_energy_j: float
    requests: int = 0
    prefill_tokens: int = 0
    decode_tokens: int = 0

    @property
    def total_g(self) -> float:
        return self.operational_g + self.embodied_g

    @property
    def embodied_share(self) -> float:
        return self.embodied_g / self.total_g

    @property
    def g_per_request(self) -> float:
        return self.total_g / _some("requests", self.requests)

    @property
    def g_per_1k_tokens(self) -> float:
        """For a thousand tokens of prompts and answers together."""
        tokens = self.prefill_tokens + self.decode_tokens
        return self.total_g / _some("tokens", tokens) * 1000.0

    def g_per_1k_by_phase(self, prefill_g: float) -> tuple[float, float]:
        """For a thousand tokens of prompts and of answers, where `prefill_g` of the total is of
        the prompts."""
        if not 0.0 <= prefill_g <= self.total_g * (1.0 + 1e-9):
            raise ConfigError(f"prefill_g = {prefill_g!r} must be in [0, {self.total_g!r}]")
        prompts = _some("prefill_tokens", self.prefill_tokens)
        answers = _some("decode_tokens", self.decode_tokens)
        return prefill_g / prompts * 1000.0, (self.total_g - prefill_g) / answers * 1000.0

    @property
    def cue_kg_per_kwh(self) -> float:
        """Carbon usage effectiveness: carbon of operation for the computers' energy."""
        energy = _some("it_energy_j", self.it_energy_j)
        return self.operational_g / G_PER_KG / (energy / J_PER_KWH)

    def tcdp(self, delay_s: float) -> float:
        """Total carbon x delay, in gram seconds."""
        return self.total_g * delay_s

    def work_per_g(self, work: float) -> float:
        """Carbon efficiency, in units of work for a gram."""
        return work / _some("total_g", self.total_g)


def cdp(embodied_g: float, delay_s: float) -> float:
    """ACT's CDP: embodied carbon x delay."""
    return embodied_g * delay_s


def cep(embodied_g: float, energy_j: float) -> float:
    """ACT's CEP: embodied carbon x energy."""
    return embodied_g * energy_j


def c2ep(embodied_g: float, energy_j: float) -> float:
    """ACT's C2EP: embodied carbon squared x energy, for designs that save on making."""
    return embodied_g**2 * energy_j


def ce2p(embodied_g: float, energy_j: float) -> float:
    """ACT's CE2P: embodied carbon x energy squared, for designs that save on use."""
    return embodied_g * energy_j**2


def _some(name: str, value: float) -> float:
    if not value > 0.0:
        raise ConfigError(f"{name} = {value!r}: a figure for each needs more than 0")
    return value
