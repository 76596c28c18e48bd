"""`ragserve bench search`: the served searchers against the libraries called directly."""
