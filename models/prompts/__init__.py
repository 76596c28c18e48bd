"""Prompt sets: every text that a language model or a reader gets from us, in versioned files."""
