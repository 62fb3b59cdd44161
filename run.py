"""The one entrypoint: `python run.py [option=name] [key=value] ...`; conf/config.yaml lists them."""

from __future__ import annotations

import sys

from vistr.cli import main

if __name__ == "__main__":
    sys.exit(main())
