"""Shape annotations: jaxtyping's where it is installed, inert stand-ins where torch is the only dependency."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

try:
    import jaxtyping
    from jaxtyping import Bool, Float, Float64, Int8, Int64, UInt8
except ModuleNotFoundError:
    jaxtyping = None  # type: ignore[assignment]

    class _Unchecked:
        """Stands in for a jaxtyping annotation: `Float[Tensor, "b c"]` is then just `Any`."""

        def __class_getitem__(cls, item: Any) -> Any:
            return Any

    Bool = Float = Float64 = Int8 = Int64 = UInt8 = _Unchecked  # type: ignore[assignment]

__all__ = ["Bool", "Float", "Float64", "Int8", "Int64", "UInt8", "unchecked"]


@contextmanager
def unchecked() -> Iterator[None]:
    """Checks no shapes meanwhile, where they are checked at all: in a graph that is traced, sizes are tensors too."""
    if jaxtyping is None:
        yield
        return
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)
