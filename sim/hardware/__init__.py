"""Devices, memory, links, power and faults: the specs of `models` wrapped for the clock."""
