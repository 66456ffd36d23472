"""Lower-level drivers, one folder each."""
