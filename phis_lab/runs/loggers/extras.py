"""Libraries of loggers, each an extra of the package that is imported only where it is asked for."""

from importlib import import_module
from typing import Any


def of_extra(extra: str, has: str, module: str | None = None) -> Any:
    """The module of an extra, which is called as its logger is.

    Args:
        extra: of `phis-lab[EXTRA]`.
        has: a name in the module, by which it is told from a folder of runs that is called so, beside the script.
        module: to import; None is that of the extra's own name.

    Raises:
        ModuleNotFoundError: it is not installed, with what to install.
    """
    instead = f"pip install 'phis-lab[{extra}]', or use logger=csv"
    try:
        found = import_module(module or extra)
    except ImportError as error:
        raise ModuleNotFoundError(f"logger={extra} needs {extra} ({error}): {instead}") from error
    if not hasattr(found, has):
        raise ModuleNotFoundError(
            f"logger={extra} needs {extra}, and found the folder {next(iter(found.__path__))}: {instead}"
        )
    return found
