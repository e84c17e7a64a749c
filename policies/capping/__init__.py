"""Policies that cap the power of GPUs."""
