"""`ragserve bench cache`: questions a second with and without the caches."""
