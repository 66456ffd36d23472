"""The kernel tier: tests that run on a real Linux kernel, booted under QEMU for the purpose.

    python -m tests.kernel.prepare              fetch a kernel and what boots it, once
    pytest -m kernel                            run the tier: one boot for all of guest/
    pytest tests/kernel/guest -k smoke          or some of it, chosen as ever
    python -m tests.kernel.shell -- lsscsi -g   run any command on that kernel

A new test is a function in a file ``guest/test_*.py``; the host collects it and the guest runs it.
Environment: ``MIDLAYER_KERNEL`` (another Debian kernel package), ``MIDLAYER_CACHE``,
``MIDLAYER_KERNEL_TIMEOUT_S`` (the whole tier's, default 3600), ``CI=true`` (a skip is a failure).
"""
