"""The paths of a question and of a file, in plain async Python: no Ray, no HTTP."""
