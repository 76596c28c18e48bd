"""`ragserve up`: a local cluster with the application on it."""
