"""How every command tells what its user can mend: in a sentence or two, without a traceback. Import-light."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from phis_lab.visible import visible

REFUSALS = (ValueError, OSError, ModuleNotFoundError)
"""What a user can mend: an option, a file, a folder, a package. Anything else is an error of this package."""

LONGEST_CAUSE = 300
INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell counts it."""


def wants_traceback() -> bool:
    """Whether the user asked where errors are raised, by HYDRA_FULL_ERROR=1."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def sentence(error: BaseException) -> str:
    """What a refusal says; errors of the operating system begin with the file."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def one_line(error: Exception) -> str:
    """What an error says, in one line of bounded length."""
    text = " ".join(str(error).split())
    text = text if len(text) <= LONGEST_CAUSE else f"{text[:LONGEST_CAUSE]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def told() -> Iterator[None]:
    """Print a refusal and exit with code 1, with 130 after Ctrl-C; HYDRA_FULL_ERROR=1 gives the traceback instead."""
    try:
        yield
    except BrokenPipeError:  # the reader of a pipe has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        if wants_traceback():
            raise
        print("\nStopped.", file=sys.stderr)  # noqa: T201
        sys.exit(INTERRUPTED)
    except REFUSALS as error:
        if wants_traceback():
            raise
        print(f"\n{visible(sentence(error))}\n(HYDRA_FULL_ERROR=1 shows where this was raised.)", file=sys.stderr)  # noqa: T201
        sys.exit(1)
