"""CRONOS as a node of the Mycelium, and the ways to it. Floor F10."""
