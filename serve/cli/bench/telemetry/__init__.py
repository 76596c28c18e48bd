"""`ragserve bench telemetry`: the cost of metrics, traces and logs at full load."""
