"""``python -m midlayer`` is the ``midlayer`` command."""

import sys

from midlayer.frontends.cli.entry import main

sys.exit(main())
