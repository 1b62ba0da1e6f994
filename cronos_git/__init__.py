"""CRONOS gives a project directory an undo: snapshots into a Git store, and every way back from them."""

__version__ = "0.1.0"
