"""Builds the preload library with the package: a plain shared object, no Python module.

Without a C compiler everything but ``midlayer exec`` works.
"""

from __future__ import annotations

import os
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PRELOAD = "midlayer.frontends.nodes.libmidlayer_nodes"
SOURCES = "src/midlayer/frontends/nodes/preload"


class BuildPreload(build_ext):
    """Gives the library its plain name: the program that it is loaded into has no Python."""

    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []


try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # before setuptools 70.1, where the tag of the interpreter's version does no harm
    COMMANDS = {"build_ext": BuildPreload}
else:

    class AnyPython(bdist_wheel):
        """One wheel for every Python 3: only the machine counts."""

        def get_tag(self) -> tuple[str, str, str]:
            return "py3", "none", super().get_tag()[2]

    COMMANDS = {"build_ext": BuildPreload, "bdist_wheel": AnyPython}

setup(
    cmdclass=COMMANDS,
    ext_modules=[
        Extension(
            PRELOAD,
            sources=sorted(glob(f"{SOURCES}/*.c")),
            depends=sorted(glob(f"{SOURCES}/*.h")),
            extra_compile_args=[
                "-O2",
                "-std=gnu11",
                "-Wall",
                "-Wextra",
                "-fvisibility=hidden",
                "-fno-delete-null-pointer-checks",  # glibc promises that paths are not NULL; programs do not
                "-U_FORTIFY_SOURCE",  # it would redirect the very functions that are defined here
            ],
            libraries=["dl", "pthread"],
            optional=True,
        )
    ],
)
