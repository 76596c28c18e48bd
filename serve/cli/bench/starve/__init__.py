"""`ragserve bench starve`: questions while other processes take every core."""
