"""What one iteration computes."""
