"""What is studied: the command line, reports, reproductions and benchmarks."""
