"""Lets Hydra find a clone's studies: experiments/ lies beside conf/, and in an installed package inside it."""

from __future__ import annotations

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from vistr.files import CONF

STUDIES = CONF.parent / "experiments"


class StudiesSource(FileConfigSource):
    """The group `experiments` of a clone, alone: were the clone searched whole, outputs/ would be a group too."""

    @staticmethod
    def scheme() -> str:
        """What search paths of this kind begin with."""
        return "studies"

    def is_group(self, config_path: str) -> bool:
        """Whether it is the group, or a folder in it."""
        return _in_studies(config_path) and super().is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        """Whether it is a study."""
        return _in_studies(config_path) and super().is_config(config_path)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The names in a folder: at the top the group alone."""
        if config_path == "":
            return [] if results_filter == ObjectType.CONFIG else [STUDIES.name]
        return super().list(config_path, results_filter) if _in_studies(config_path) else []


class StudiesBesideConf(SearchPathPlugin):
    """Adds the studies to the search path of whoever composes from the project's own conf/."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append them; other folders to compose from, as the copy that a sweep keeps, have studies of their own."""
        main = [element.path for element in search_path.get_path() if element.provider == "main"]
        if main in ([str(CONF)], [f"file://{CONF}"]) and STUDIES.is_dir():
            search_path.append("studies", f"{StudiesSource.scheme()}://{STUDIES.parent}")


def register_studies() -> None:
    """Make the studies known to Hydra."""
    Plugins.instance().register(StudiesSource)
    Plugins.instance().register(StudiesBesideConf)


def _in_studies(config_path: str) -> bool:
    return config_path == STUDIES.name or config_path.startswith(f"{STUDIES.name}/")
