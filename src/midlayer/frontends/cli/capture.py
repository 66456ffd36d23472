"""The verb capture: write down what a device says of itself."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from pathlib import Path

from midlayer.errors import UsageError
from midlayer.frontends.cli.commands import find
from midlayer.frontends.cli.output import clean, print_json
from midlayer.upper.sg.capture import capture as ask


def capture(options: argparse.Namespace) -> int:
    """Write a twin document."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with closing(find(options)) as device:
        twin = ask(device, captured_at=now, mask_serials=options.mask_serials)
    text = twin.dump()
    if options.outfile == Path("-"):
        sys.stdout.write(text)
        return 0
    try:
        options.outfile.write_text(text)
    except OSError as error:
        raise UsageError(f"capture: {options.outfile}: {error.strerror}") from None
    inquiry = twin.inquiry
    identity = (
        inquiry.t10_vendor_identification, inquiry.product_identification, inquiry.product_revision_level
    )  # fmt: skip
    described = {
        "file": str(options.outfile),
        "device": " ".join(clean(part.strip()) for part in identity),
        "answers": len(twin.answers),
        "serials": twin.serials,
    }
    if options.json:
        print_json(described)
        return 0
    print(f"{described['device']}: {len(twin.answers)} answers, serials {twin.serials}")
    print(f"ask its twin: midlayer inq 'virtual:disk?twin={options.outfile}'")
    return 0
