"""Error rates of recognized text, on pages that are drawn here."""
