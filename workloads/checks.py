"""Checks of numbers that a configuration gives, as workloads use them."""

from models.checks import at_least, between, finite, flag, positive, whole, whole_or_none

__all__ = ["at_least", "between", "finite", "flag", "positive", "whole", "whole_or_none"]
