"""Packets through a SmartNIC and its host, under an offloading plan that follows the traffic."""
