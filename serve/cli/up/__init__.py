"""`ragserve up`: a local Ray cluster that runs the application."""
