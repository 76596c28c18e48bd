"""`ragserve bench overload`: the goodput of the service above its peak load."""
