"""Readers of carbon intensity and of generation, in the formats that are published."""
