"""`ragserve bench overload`: what the service still answers past its peak."""
