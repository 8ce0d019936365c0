"""Option files that are read once, however many configurations a command composes. Import-light."""

from copy import copy, deepcopy
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_loader import ConfigLoader
from hydra.plugins.config_source import ConfigResult


class RememberingRepository(ConfigRepository):
    """A repository whose copies read each option file once between them.

    Hydra copies its repository for every configuration that it composes and for every group that it lists, and reads
    and parses all files anew. A sweep composes one configuration per job.
    """

    def __init__(self, repository: ConfigRepository) -> None:
        self.sources = list(repository.sources)
        self.read: dict[tuple[tuple[str, str], ...], dict[str, ConfigResult | None]] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> "RememberingRepository":
        other = copy(self)
        other.sources = list(self.sources)
        return other

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Returns the file as it was read the first time, for the caller to change."""
        files = self.read.setdefault(tuple((source.provider, source.path) for source in self.sources), {})
        if config_path not in files:
            files[config_path] = super().load_config(config_path)
        return deepcopy(files[config_path])


def remember(loader: ConfigLoader) -> None:
    """Let a loader read each of its files once. Files that change in the meantime are not noticed."""
    if isinstance(loader, ConfigLoaderImpl) and not isinstance(loader.repository, RememberingRepository):
        loader.repository = RememberingRepository(loader.repository)
