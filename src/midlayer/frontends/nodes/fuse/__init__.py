"""Nodes by the kernel's FUSE and CUSE: the protocol of ``/dev/fuse`` and ``/dev/cuse``, spoken directly.

::

    program ── system call ── kernel ── /dev/fuse ── Connection ── NodeFilesystem ─┐
                               └─────── /dev/cuse ── Connection ── CuseDevice ─────┴─ NodeHandle ── SgFile

A program's memory is read and written by its thread's number (`process_memory`), for the kernel hands on
the argument of an ioctl as the bare number that it is.
"""
