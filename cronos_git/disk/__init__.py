"""The only door to the file system (floor F5)."""
