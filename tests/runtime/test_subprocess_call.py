"""Questions put to a new process: its answer, or why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vistr.errors import UserError
from vistr.runtime.subprocess_call import ANSWER, REQUEST, answer_request, ask_apart, explain_end


def test_an_answer_comes_back_from_a_process_of_its_own(tmp_path: Path) -> None:
    echo = "import pathlib, sys; f = pathlib.Path(sys.argv[1]); (f / 'request.json').rename(f / 'answer.json')"
    (tmp_path / "echo_it.py").write_text(echo)
    assert ask_apart("echo_it", {"question": [1, 2]}, root=tmp_path) == {"question": [1, 2]}


def test_a_process_without_an_answer_gives_the_reason(tmp_path: Path) -> None:
    (tmp_path / "killed_it.py").write_text("import os; os.kill(os.getpid(), 9)")
    (tmp_path / "slow_it.py").write_text("import time; time.sleep(60)")
    assert "memory" in ask_apart("killed_it", {}, root=tmp_path)["error"]
    assert ask_apart("slow_it", {}, root=tmp_path, limit_minutes=0.01)["error"] == "it took longer than 0.01 minutes"
    assert "No module named" in ask_apart("no_such_module", {})["error"]


def test_how_a_process_ended_in_words() -> None:
    assert explain_end(-11, "") == "signal 11 ended it"
    assert explain_end(2, "") == "it ended with status 2"
    assert explain_end(1, "first\nlast\n") == "it ended with status 1: last"


@pytest.mark.parametrize(("error", "told"), [(UserError("no"), "mistake"), (ValueError("no"), "traceback")])
def test_what_goes_wrong_in_the_other_process_is_the_answer(tmp_path: Path, error: Exception, told: str) -> None:
    def fail(request: dict[str, Any], folder: Path) -> dict[str, Any]:
        assert (request, folder) == ({"part": 1}, tmp_path)
        raise error

    (tmp_path / REQUEST).write_text('{"part": 1}')
    assert answer_request([str(tmp_path)], fail) == 1
    answer = json.loads((tmp_path / ANSWER).read_text())
    assert "no" in answer["error"]
    assert told in answer
