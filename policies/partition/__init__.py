"""Which parts of a network function run on a SmartNIC, and which on host cores."""
