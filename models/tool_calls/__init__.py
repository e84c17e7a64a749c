"""What a tool call costs while it lasts: waste, memory over time, and how long it will last."""
