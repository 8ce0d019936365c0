"""What a part gives back, a user's own among them, is checked where it enters: a sentence names the part."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor


class PartError(ValueError):
    """A part, from teacher to evaluation, raised an error, or gave something else than it has to."""


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
