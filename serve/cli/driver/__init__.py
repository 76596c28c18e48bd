"""What measures a running service: closed and open loops of load, servers to compare, workloads, simulated stages."""
