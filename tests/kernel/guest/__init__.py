"""What runs inside the guest. Collected on the host, executed there (see ``tests/kernel/conftest.py``)."""
