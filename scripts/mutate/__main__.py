"""Feed mutated inputs to every reader, and count what comes out.

Usage: python -m scripts.mutate [--seed 1] [--count 100] [--readers pth,npy] [--keep FOLDER]

Right is a reader that accepts what is still sound, or refuses it in one sentence of at most 300 characters. All else is
a failure: another exception, a longer sentence, a wrong value accepted, a crash, over 10 s, over 250 MB. The same seed
makes the same inputs. Exit status 1 where there is a failure.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.mutate.readers import READERS
from scripts.mutate.running import OUTCOMES, RIGHT, Found, run_reader


def main(arguments: list[str]) -> int:
    """Run the readers asked for, print a line for each and for each kind of failure; 1 where there is one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100, help="inputs for each reader")
    parser.add_argument("--readers", default=",".join(READERS), help="names with commas; all: %(default)s")
    parser.add_argument("--jobs", type=int, default=2, help="readers at work at once")
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that failed, two of each kind")
    options = parser.parse_args(arguments)
    names = options.readers.split(",")
    if unknown := set(names) - set(READERS):
        parser.error(f"no such readers: {', '.join(sorted(unknown))}")
    total: Counter[str] = Counter()
    print(f"{'reader':<14}" + "".join(f"{name:>11}" for name in OUTCOMES), flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = pool.map(lambda name: run_reader(name, options.seed, options.count, options.keep), names)
        for name, found in zip(names, runs, strict=True):
            tally = Counter(one.outcome for one in found)
            total += tally
            print(_row(name, tally), flush=True)
            _print_failures(found)
    print(_row("all", total))
    return int(any(outcome not in RIGHT for outcome in total))


def _row(name: str, tally: Counter[str]) -> str:
    return f"{name:<14}" + "".join(f"{tally[outcome]:>11}" for outcome in OUTCOMES)


def _print_failures(found: list[Found]) -> None:
    kinds: dict[str, list[Found]] = {}
    for one in found:
        if one.outcome not in RIGHT:
            kinds.setdefault(f"{one.outcome} {one.place}", []).append(one)
    for kind, cases in sorted(kinds.items(), key=lambda item: -len(item[1])):
        first = cases[0]
        print(f"    {len(cases)}x {kind}\n      input {first.number} [{first.change}]: {first.detail}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
