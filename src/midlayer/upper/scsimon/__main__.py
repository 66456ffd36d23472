"""``python -m midlayer.upper.scsimon``: print the directory of ``scsimon.h``, for a compiler's ``-I``."""

from __future__ import annotations

from midlayer.upper.scsimon.interface import HEADER

if __name__ == "__main__":
    print(HEADER.parent)
