"""What the tests share: trees on disk, clocks, faults."""
