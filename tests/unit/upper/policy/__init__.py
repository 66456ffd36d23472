"""Tests of quarantine and identity."""
