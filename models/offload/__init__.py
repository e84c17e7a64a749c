"""Decode attention and KV cache on the host: what its operators cost beside those of the GPU."""
