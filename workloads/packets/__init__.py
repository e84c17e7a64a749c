"""Packets of network functions: generators by the statistics of traffic, and captures."""
