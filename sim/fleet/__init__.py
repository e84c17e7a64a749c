"""Fleets over years: hours in aggregate, devices that are bought, wear out and move on."""
