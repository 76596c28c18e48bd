"""`ragserve top`: the stages of a running service, live in the terminal."""
