"""`ragserve bench backup`: the time of a backup and of a restore."""
