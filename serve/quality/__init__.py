"""Whether answers are still good, watched while they are served. Start at quality.py."""
