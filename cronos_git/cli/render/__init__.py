"""How results look: for people on a terminal, as plain text in a pipe, as JSON."""
