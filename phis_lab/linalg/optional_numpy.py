"""numpy, where it is installed; torch alone must do for everything."""

from typing import Any


def numpy() -> Any:
    """The module, or None."""
    try:
        import numpy as module  # noqa: PLC0415
    except ImportError:
        return None
    return module
