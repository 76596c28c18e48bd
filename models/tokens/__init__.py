"""Texts to tokens: encodings for encoders, and where tokens begin, to size chunks."""
