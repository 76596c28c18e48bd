"""`ragserve bench tax` and `ragserve bench settings`: the cost of Ray Serve for a composed graph."""
