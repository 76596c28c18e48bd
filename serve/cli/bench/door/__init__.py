"""What the door costs: keys, limits, breakers and deadlines."""
