"""Extractive answers by variant: how often they contain the gold answer."""
