"""Carbon: what devices cost to make, what they draw, what a grid emits, and whose it is."""
