"""CRONOS and its peers at the same work, on the same tree, on the same machine: `python -m benchmarks`.

`trees` makes the trees, `peers` knows the tools' commands, `measure` times a step, `stages` keeps a tree with one store for each
tool, `rows` says what each line of the table measures, `report` writes it. Plain standard library; docs/benchmarks.md explains.
"""
