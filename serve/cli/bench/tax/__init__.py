"""`ragserve bench tax` and `ragserve bench settings`: what Ray Serve costs a composed graph."""
