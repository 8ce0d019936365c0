"""Files of a data set as they lie on a disk: read only where they are plain files, and within a bound."""

import errno
import os
from pathlib import Path
from typing import BinaryIO

from phis_lab.whole_files import open_plain

MOST_BYTES = 1024**3
"""Size of the largest image file: no image within the bound on pixels needs more, with 16 bits in four channels."""


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
