"""Who goes first, and who may be displaced."""
