"""The only door to Git (floor F6)."""
