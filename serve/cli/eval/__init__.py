"""`ragserve eval`: question sets through the running service, measured, compared and drawn. Start with command.py."""
