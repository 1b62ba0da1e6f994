"""One verb per file; verbs never import each other (floor F7)."""
