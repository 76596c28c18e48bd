"""Understanding: compound questions in parts, and further wordings, against the question as it is."""
