"""`python -m vistr` is the `vistr` command, and in a clone `python run.py`."""

from __future__ import annotations

import sys

from vistr.cli import main

if __name__ == "__main__":
    sys.exit(main())
