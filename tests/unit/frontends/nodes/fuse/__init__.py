"""FUSE and CUSE."""
