"""When work runs: policies that move it to hours of little carbon."""
