"""What is refused where it enters: arguments of a caller, what a part gave, and libraries that are not installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

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


class PartError(ValueError):
    """A part, from teacher to evaluation, raised an error, or gave something else than it has to."""


class TeacherError(PartError):
    """A teacher raised an error or gave something else than it has to: all arms that see it must stop."""


@contextmanager
def working(what: str, part: object, *speaking: type[Exception]) -> Iterator[None]:
    """Say which part raised an error.

    Args:
        what: its role, such as "the head of teacher 'sam_h'".
        part: the object.
        speaking: errors that say enough themselves, such as that a file of a teacher's cannot be read.

    Raises:
        PartError: with the error that it raised as its cause.
    """
    try:
        yield
    except (Exception, SystemExit) as error:  # whatever a part raises
        if isinstance(error, (PartError, *speaking)):
            raise
        raise PartError(f"{what} ({type(part).__name__}) raised {type(error).__name__}: {error}") from error


def check_tensor(what: str, part: object, given: object, shape: tuple[int | None, ...]) -> None:
    """Refuse what is no floating-point tensor of a shape; None stands for any size.

    Raises:
        PartError: naming the part, what it gave and the shape that is wanted.
    """
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    wanted = f"a floating-point tensor [{sizes}] is wanted"
    name = f"{what} ({type(part).__name__})"
    if not isinstance(given, Tensor):
        raise PartError(f"{name} gives {'None' if given is None else f'a {type(given).__name__}'}, and {wanted}")
    fits = given.ndim == len(shape) and all(
        size in (None, found) for size, found in zip(shape, given.shape, strict=True)
    )
    if not fits or not given.is_floating_point():
        raise PartError(f"{name} gives {str(given.dtype).removeprefix('torch.')} {list(given.shape)}, and {wanted}")
