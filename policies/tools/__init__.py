"""What happens to a request's KV cache while it waits for a tool call."""
