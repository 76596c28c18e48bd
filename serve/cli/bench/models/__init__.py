"""`ragserve bench models`: the model stages against offline calls and other servers."""
