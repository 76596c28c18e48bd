"""Embedding engines side by side: speed, and how far their vectors are from the reference."""
