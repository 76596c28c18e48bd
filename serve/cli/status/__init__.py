"""`ragserve status`: is the service ready, and what does it hold."""
