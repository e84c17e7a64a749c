"""What eight network functions cost and save on an Agilio, worked out apart from this code."""

from __future__ import annotations

#: Agilio, 40 Gb/s, a million flows, Zipf 1.0, packets of 256 bytes
#: at 80 % of the line. Cycles of a packet and busy cores without the NIC, flows of 80 packets.
CYCLES = {
    "nat": 498.7,
    "load_balancer": 508.2,
    "firewall": 452.8,
    "flow_monitor": 444.5,
    "heavy_hitter": 538.4,
    "rate_limiter": 442.6,
    "ipsec_gateway": 1054.7,
    "upf": 795.4,
}
CORES = {
    "nat": 2.89,
    "load_balancer": 2.95,
    "firewall": 2.62,
    "flow_monitor": 2.58,
    "heavy_hitter": 3.12,
    "rate_limiter": 2.57,
    "ipsec_gateway": 6.11,
    "upf": 4.61,
}
#: Traffic by name: packets of a flow, Zipf exponent.
LONG, SHORT, SKEWED = "L 80", "L 20", "Zipf 1.2"
TRAFFIC = {LONG: (80.0, 1.0), SHORT: (20.0, 1.0), SKEWED: (80.0, 1.2)}
#: Percent of the cores saved: by state, by traffic, by Cora.
SAVINGS: dict[str, dict[str, tuple[float, float, float]]] = {
    LONG: {
        "nat": (8.2, 85.5, 85.5),
        "load_balancer": (97.1, 94.2, 97.1),
        "firewall": (96.7, 90.7, 96.7),
        "flow_monitor": (17.7, 91.7, 91.7),
        "heavy_hitter": (97.5, 97.5, 97.5),
        "rate_limiter": (96.7, 39.7, 96.7),
        "ipsec_gateway": (25.4, 23.4, 25.4),
        "upf": (95.2, 86.4, 95.2),
    },
    SHORT: {
        "nat": (7.6, 63.7, 63.7),
        "load_balancer": (89.0, 80.8, 89.0),
        "firewall": (88.5, 69.0, 88.5),
        "flow_monitor": (15.7, 72.0, 72.0),
        "rate_limiter": (88.0, 32.0, 88.0),
        "upf": (46.5, 65.5, 77.3),
    },
    SKEWED: {
        "nat": (9.6, 89.2, 89.2),
        "firewall": (96.4, 90.8, 96.4),
        "rate_limiter": (96.5, 38.4, 96.5),
    },
}
#: Sides of the states in the best plan, in the order of the programs.
BEST = {
    (LONG, "nat"): "SCS",
    (LONG, "load_balancer"): "NNNN",
    (LONG, "firewall"): "NNN",
    (LONG, "flow_monitor"): "SRC",
    (LONG, "heavy_hitter"): "NCN",
    (LONG, "rate_limiter"): "NNN",
    (LONG, "ipsec_gateway"): "CNN",
    (LONG, "upf"): "NNNR",
    (SHORT, "upf"): "SNNR",
}
