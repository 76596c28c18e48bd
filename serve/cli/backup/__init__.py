"""`ragserve backup`, `restore` and `backups …`: copy all stored data, put a copy back, and keep many in one place."""
