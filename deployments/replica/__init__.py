"""Shared by the replicas: typed user_config, model slot, token batcher, memory."""
