"""When devices are replaced, and where the old ones go."""
