"""What is refused at the doors of the library: things that are no tensors, and sizes that are no whole numbers."""

import torch
from torch import Tensor

_NOT_NUMBERS = (torch.bool, torch.complex32, torch.complex64, torch.complex128)


def require_tensors(**given: object) -> None:
    """Refuse arguments that are no tensors of real numbers; None stands for one that is left out.

    It looks at types alone, so it costs nothing beside what is done with the tensors.

    Raises:
        TypeError: naming the argument, what it is, and how to make a tensor of it.
    """
    for name, value in given.items():
        if isinstance(value, Tensor):
            if value.dtype in _NOT_NUMBERS:
                raise TypeError(f"{name} must hold real numbers, got a tensor of {value.dtype}; convert it first")
        elif value is not None:
            raise TypeError(
                f"{name} must be a torch tensor, got {_named(value)}; convert it with torch.from_numpy(array) or "
                "torch.tensor(values)"
            )


def whole(name: str, value: object) -> int:
    """A size as an int, whatever library it comes from.

    Raises:
        TypeError: it is no whole number.
    """
    try:
        return value.__index__()  # type: ignore[attr-defined, no-any-return]
    except (AttributeError, TypeError):
        raise TypeError(f"{name} must be a whole number, got {_named(value)}") from None


def _named(value: object) -> str:
    kind = type(value)
    article = "an" if kind.__name__[0].lower() in "aeiou" else "a"
    own = kind.__name__ if kind.__module__ in ("builtins", "phis_lab") else f"{kind.__module__}.{kind.__name__}"
    return f"{value!r}" if isinstance(value, str | float) else f"{article} {own}"
