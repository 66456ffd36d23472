"""Device nodes, proc files and the SCSI part of sysfs for unmodified programs.

One set of handlers (`server`, `open_files`, `channel`) behind a preload library in C (``preload/``)::

    program ── libmidlayer_nodes.so ── Unix socket, shared memory ── NodeServer ── sg, proc, attributes
                      └── reads ── snapshot of /sys, /dev and /proc/scsi, which `Tree` keeps current
"""
