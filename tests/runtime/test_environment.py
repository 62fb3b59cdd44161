"""What MindSpore finds in the environment."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from vistr.files import ROOT
from vistr.runtime import environment


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"GLOG_v": "1"})
    environment.set_defaults()
    assert os.environ == {**environment.DEFAULTS, "GLOG_v": "1"}


def test_from_python_mindspores_warnings_stay_out_of_the_way() -> None:
    code = "import os, vistr; vistr.build_model; print(os.environ['GLOG_v'])"
    plain = {name: value for name, value in os.environ.items() if name not in environment.DEFAULTS}
    shown = subprocess.run([sys.executable, "-c", code], env=plain, cwd=ROOT, capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("3\n", "")


def test_a_user_without_a_home_can_still_start() -> None:
    code = (
        "import pathlib\n"
        "def home(): raise RuntimeError('no home')\n"
        "pathlib.Path.home = home\n"
        "from vistr.runtime import environment; print('MS_OM_PATH' in environment.DEFAULTS)"
    )
    plain = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    shown = subprocess.run([sys.executable, "-c", code], env=plain, cwd=ROOT, capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("False\n", "")
