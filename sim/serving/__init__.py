"""LLM serving: clients, a gateway, replicas with continuous batching and a paged KV cache."""
