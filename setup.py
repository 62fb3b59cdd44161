"""Copies conf/ and experiments/ into the package that is built; all else of the build stands in pyproject.toml."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigurations(build_py):
    """A build whose package holds the configurations and the studies; an editable one finds them in the clone."""

    def run(self) -> None:
        """Build, then copy the YAML files."""
        super().run()
        if self.editable_mode:
            return
        conf = Path(self.build_lib, "vistr", "conf")
        yaml_alone = shutil.ignore_patterns("results", "experiments")
        shutil.rmtree(conf, ignore_errors=True)
        shutil.copytree("conf", conf, ignore=yaml_alone)
        shutil.copytree("experiments", conf / "experiments", ignore=yaml_alone)


setup(cmdclass={"build_py": BuildWithConfigurations})
