"""The objects of responses, a module for each tag of the description."""
