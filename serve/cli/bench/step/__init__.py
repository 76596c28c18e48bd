"""`ragserve bench step`: how each stage's replicas follow a step of load."""
