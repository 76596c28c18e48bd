"""Evidence: how well it tells answerable questions from others, against each of its features."""
