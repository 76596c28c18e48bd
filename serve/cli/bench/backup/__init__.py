"""`ragserve bench backup`: how long a backup and a restore take."""
