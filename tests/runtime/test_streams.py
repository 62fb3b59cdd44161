"""A reader that leaves, as `| head -1` does, ends no run and prints nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from vistr.files import ROOT

TALKS = """
import logging, sys
from vistr.runtime.streams import outlive_readers
outlive_readers()
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
for number in range(3):
    for _ in range(2000):
        logging.info("a line of %d", number)
        print("and another, with é", flush=number == 2)
print("to the end", file=sys.stderr)
"""


@pytest.mark.parametrize("flags", [[], ["-u"]])
def test_a_program_goes_on_quietly_when_its_reader_leaves(flags: list[str]) -> None:
    command = [sys.executable, *flags, "-c", TALKS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.readline() == "a line of 0\n"
        program.stdout.close()
        assert program.stderr.read() == "to the end\n"
    assert program.returncode == 0


def test_all_that_is_printed_is_read() -> None:
    whole = subprocess.run([sys.executable, "-c", TALKS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(whole.stdout.splitlines()) == 12_000
    assert whole.stdout.endswith("and another, with é\n")


@pytest.mark.parametrize(
    "command", [["run.py", "--cfg", "job"], ["scripts/make_dataset.py", "--help"], ["run.py", "--help"]]
)
def test_the_programs_are_quiet_about_it(command: list[str]) -> None:
    shell = f'{sys.executable} {" ".join(command)} | head -1 > /dev/null; exit "${{PIPESTATUS[0]}}"'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(["bash", "-c", shell], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
