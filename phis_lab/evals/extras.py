"""Libraries that only some evaluations need."""

from importlib.util import find_spec


def require(module: str, extra: str, use: str) -> None:
    """Refuses, before anything is trained, what would only fail at the end.

    Args:
        module: that will be imported.
        extra: of this project that brings it.
        use: what needs it, for the message.

    Raises:
        ModuleNotFoundError: the library is not installed.
    """
    if find_spec(module) is None:
        raise ModuleNotFoundError(f"{use} needs {module}, which is not installed: pip install 'phis-lab[{extra}]'")
