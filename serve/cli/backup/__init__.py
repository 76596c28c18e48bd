"""`ragserve backup` and `ragserve restore`."""
