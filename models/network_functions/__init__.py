"""Network functions split between a SmartNIC and host cores: programs, traffic, plans, costs.

The model of Cora, "Cora: Accelerating Stateful Network Applications with SmartNICs" (arXiv
2410.22229, 2024): the paper's abstract states the problem; forms and constants are stated here and
in the configuration.
"""
