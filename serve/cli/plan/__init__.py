"""`ragserve plan`: replicas, batches and nodes for a target load and latency."""
