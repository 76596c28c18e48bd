"""`ragserve bench prefix`: prefix cache hits by the order of the passages."""
