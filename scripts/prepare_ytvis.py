"""Checks a downloaded YouTube-VIS or OVIS folder, and makes the `_sub` annotation files that some releases lack.

Usage: python scripts/prepare_ytvis.py <folder> [--dataset ytvis2019 | ytvis2021 | ovis] [--write]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vistr.data.ytvis_check import SPLITS, check_split, describe, write_sub
from vistr.errors import UserError
from vistr.runtime.streams import outlive_readers


def main(arguments: list[str]) -> int:
    """Print what is there; 0 where the training split is complete, 1 where it is not, or after a mistake."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the dataset was unpacked")
    parser.add_argument("--dataset", choices=("ytvis2019", "ytvis2021", "ovis"), default="ytvis2019")
    parser.add_argument("--write", action="store_true", help="write annotations/instances_<split>_sub.json")
    options = parser.parse_args(arguments)
    whole = {}
    try:
        for split in SPLITS:
            state = check_split(options.dataset, options.folder, split)
            whole[split] = state.is_whole
            print("\n".join(describe(state)))
            written = write_sub(state, options.folder) if options.write else None
            if written is not None:
                print(f"  written      {written}")
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if whole["train"] else 1


if __name__ == "__main__":
    outlive_readers()
    sys.exit(main(sys.argv[1:]))
