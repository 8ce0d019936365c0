"""A configuration from a command line of `phis-lab`."""

from collections.abc import Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from phis_lab.config.globs import CONF
from phis_lab.config.hints import explain
from phis_lab.config.resolvers import register_resolvers, to_plain


def composed(overrides: Sequence[str]) -> dict[str, Any]:
    """The resolved configuration as plain dicts and lists; its options are not checked yet.

    Args:
        overrides: as for `run.py`.

    Raises:
        ValueError: Hydra refuses an override; the message says what was perhaps meant.
    """
    register_resolvers()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return to_plain(compose("config", list(overrides), return_hydra_config=True))
    except HydraException as error:
        raise ValueError("\n".join([str(error), *explain(overrides)])) from error
