"""`ragserve plan`: replicas and hardware for a target of load and latency."""
