"""Backups that the service makes by itself."""
