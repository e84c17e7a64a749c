"""What things are and cost: pure functions and frozen dataclasses, without a clock."""
