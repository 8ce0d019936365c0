"""Files of a data set as they lie on a disk: read only where they are plain files, and within a bound."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 1024**3
"""Size of the largest image file: no image within the bound on pixels needs more, with 16 bits in four channels."""


def open_plain(path: Path) -> BinaryIO:
    """Opens a file to be read; what stands in its place since it was listed is not waited for.

    Raises:
        OSError: it is gone, or a folder, pipe, socket or device.
    """
    return open(path, "rb", opener=_plain)


def read_plain(path: Path, most: int = MOST_BYTES) -> bytes:
    """Returns the bytes of a file.

    Raises:
        OSError: as `open_plain`, or it has more bytes than `most`.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        return read_part(file, 0, size, most)


def read_part(file: BinaryIO, offset: int, size: int, most: int = MOST_BYTES) -> bytes:
    """Returns `size` bytes of a file from `offset` on.

    Raises:
        OSError: they are more than `most`.
    """
    if size > most:
        raise OSError(errno.EFBIG, f"it has {size:,} bytes, and at most {most:,} are read")
    file.seek(offset)
    return file.read(size)


def _plain(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # or a pipe would be waited for
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no plain file but a folder, pipe, socket or device", path)
