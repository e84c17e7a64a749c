"""How fast Orrery is, in bare timeouts: ratios measured in one run, on any machine."""
