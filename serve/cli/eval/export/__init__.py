"""Make a question set of what users asked, and of what they said of the answers."""
