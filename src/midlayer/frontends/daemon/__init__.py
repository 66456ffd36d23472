"""The daemon: one subsystem, its event log, and an HTTP API."""
