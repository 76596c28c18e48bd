"""What replicas share: typed user_config, model slot, token batcher, memory."""
