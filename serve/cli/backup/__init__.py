"""`ragserve backup` and `ragserve restore`: copy all stored data, and put a copy back."""
