"""The command line: a folder a command, above what they share (driver, capacity, remote)."""
