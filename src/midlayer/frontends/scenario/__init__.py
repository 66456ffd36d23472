"""Scenarios: faults, plugs and pulls along a line of time, from a TOML file."""
