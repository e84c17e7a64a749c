"""What happens in time: the only package that imports SimPy."""
