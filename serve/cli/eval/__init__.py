"""`ragserve eval`: measure retrieval of the running service on question sets; compare and plot the results."""
