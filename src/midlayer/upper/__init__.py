"""Upper-level drivers."""
