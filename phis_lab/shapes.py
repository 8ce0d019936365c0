"""Shape annotations: jaxtyping's where it is installed, inert stand-ins where torch is the only dependency."""

from typing import Any

try:
    from jaxtyping import Bool, Float, Float64, Int8, Int64, UInt8
except ModuleNotFoundError:

    class _Unchecked:
        """Stands in for a jaxtyping annotation: `Float[Tensor, "b c"]` is then just `Any`."""

        def __class_getitem__(cls, item: Any) -> Any:
            return Any

    Bool = Float = Float64 = Int8 = Int64 = UInt8 = _Unchecked  # type: ignore[assignment]

__all__ = ["Bool", "Float", "Float64", "Int8", "Int64", "UInt8"]
