"""Many runs: sweeps, tables of them, comparisons with intervals, regression checks."""
