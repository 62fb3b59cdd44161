"""Run a module in a fresh Python process and get its JSON result back, apart from this process's memory and graphs."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vistr.errors import UserError
from vistr.files import ROOT, python_path, working_folder, write_json
from vistr.runtime import gpu_runtime, system
from vistr.runtime.child_process import child_environment, end_with_parent

REQUEST, ANSWER = "request.json", "answer.json"


def ask_apart(
    module: str,
    request: dict[str, Any],
    *,
    root: Path = ROOT,
    limit_minutes: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run `python -m module <folder>`, which reads REQUEST in the folder, and return the ANSWER that it writes there.

    {"error": why} where it does not, or takes longer than `limit_minutes`. `root` is where the module's package lies;
    `environment` is the new process's, by default this one's.
    """
    with working_folder("vistr-apart-") as folder:
        question, answer = folder / REQUEST, folder / ANSWER
        question.write_text(json.dumps(request), encoding="utf-8")
        path = os.pathsep.join([str(root), python_path()])
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "vistr.runtime.subprocess_call", module, str(folder)],
                env={**child_environment(environment), "PYTHONPATH": path},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                timeout=None if limit_minutes is None else limit_minutes * 60,
            )
        except subprocess.TimeoutExpired:
            return {"error": f"it took longer than {limit_minutes:g} minutes"}
        if answer.is_file():
            found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
            return found
        return {"error": explain_end(ended.returncode, ended.stderr)}


def answer_request(arguments: Sequence[str], find: Callable[[dict[str, Any], Path], dict[str, Any]]) -> int:
    """The `main` of such a module: writes what `find(request, folder)` returns, and gives the exit status.

    Where it raises, the answer is {"error": why}; the same sentence is also the "mistake" where it is the user's, and
    "traceback" is there where it may be a bug.
    """
    folder = Path(arguments[0])
    try:
        answer = find(json.loads((folder / REQUEST).read_text(encoding="utf-8")), folder)
    except UserError as error:
        answer = {"error": str(error), "mistake": str(error)}
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0]
        answer = {"error": f"{type(error).__name__}: {first_line}", "traceback": traceback.format_exc()}
    write_json(folder / ANSWER, answer)
    return 1 if "error" in answer else 0


def explain_end(status: int, said: str) -> str:
    """Why a process ended that gave no answer, from its exit status and its last words."""
    if status == -9:
        return "the system killed it, most likely for want of memory"
    if status < 0:
        return f"signal {-status} ended it"
    last = said.strip().rpartition("\n")[2]
    return f"it ended with status {status}: {last}" if last else f"it ended with status {status}"


if __name__ == "__main__":
    end_with_parent(system.KILL)
    # Before the module imports MindSpore.
    gpu_runtime.load_stand_ins()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
