"""What is asked: lazy iterators of demands, readers of trace formats, generators."""
