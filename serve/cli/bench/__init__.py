"""`ragserve bench`: a folder a benchmark."""
