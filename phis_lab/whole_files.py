"""Files that are there whole or not at all, and that tell when what they hold is not what was written."""

import errno
import hashlib
import json
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from torch import Tensor

SEAL = "content_sha256"
"""Field that holds the digest of all others."""
STALE_S = 3600
"""A part of which it is not known whether its process lives counts as left behind after an hour without a change."""
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NEARLY_FULL = 2**20
MOST_TEXT = 2**28
"""Bytes of the longest text that is read whole: no record, description or configuration comes near."""


class DamagedFileError(ValueError):
    """A file does not hold what was written into it; the message names it."""


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file beside its place and move it there once the disk has it, so that no crash leaves a part of it.

    Args:
        path: final name; its folder is made where it is missing.
        write: writes the file that it is given.

    Raises:
        OSError: it cannot be written; what was there before is left as it was. On a full disk the message says so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_parts(path.parent, path.name)
    temporary = part_of(path)
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask gives; safetensors would let the owner alone read
        write(temporary)
        temporary.chmod(mode)
        flush(temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch and safetensors raise errors of their own for a full disk
        raise _told(path, temporary, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    flush(path.parent)
    return path


def write_text(path: Path, text: str) -> Path:
    """`write_whole` of a text in UTF-8."""
    return write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def part_of(path: Path) -> Path:
    """Where this process begins what is to have that name once it is whole."""
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.part")


@contextmanager
def part_folder(folder: Path) -> Iterator[Path]:
    """A folder beside another, for what is moved into that once all of it is whole; killed processes leave none."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_parts(folder.parent, folder.name)
    part = part_of(folder)
    try:
        part.mkdir(exist_ok=True)
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_parts(folder: Path, name: str = "") -> None:
    """Delete what processes that were killed left half-written in a folder: of what has this name, or of everything."""
    for part in left_parts(folder, name):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)  # its process may just have finished


def left_parts(folder: Path, name: str = "") -> list[Path]:
    """What processes that were killed left in a folder: of what is to have this name, or of everything."""
    beginning = f".{name}." if name else "."
    ours = [path for path in folder.glob(".*.part") if path.name.startswith(beginning)]
    tensors = not name or name.endswith(".safetensors")
    theirs = folder.glob(".tmp??????") if tensors else ()  # safetensors fills these before it gives them their name
    return [path for path in (*ours, *theirs) if _is_left(path)]


def _is_left(part: Path) -> bool:
    """Whether nobody is going to finish it: its process has ended, or is one of another machine and silent for long."""
    suffix = f".{socket.gethostname()}-"
    process = part.name.removesuffix(".part").rpartition(suffix)[2] if suffix in part.name else ""
    try:
        return not _lives(int(process)) if process.isdecimal() else time.time() - part.stat().st_mtime > STALE_S
    except OSError:  # it has just finished
        return False


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's, or a name that no process of ours gave
        return True
    return True


def flush(path: Path) -> None:
    """Have the disk keep a file, or a folder's list of names, through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EBADF, errno.ENOTSUP}:  # a file system that keeps no folders so
            raise
    finally:
        os.close(descriptor)


def open_plain(path: Path) -> BinaryIO:
    """Opens a file to be read; what else may stand in its place is not waited for.

    Raises:
        OSError: it is not there, or a folder, pipe, socket or device.
    """
    return open(path, "rb", opener=_plain)


def _plain(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # or a pipe would be waited for
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no plain file but a folder, pipe, socket or device", path)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        OSError: see `open_plain`.
        DamagedFileError: it is no such text, or far too long for what is read whole.
    """
    try:
        return _read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path} is no text in UTF-8 ({error})") from error


def _read_bytes(path: Path) -> bytes:
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_TEXT:
            raise DamagedFileError(f"{path} has {size:,} bytes, and at most {MOST_TEXT:,} are read of such a file")
        return file.read(MOST_TEXT)


def read_json(path: Path) -> Any:
    """What a file in JSON holds.

    Raises:
        OSError: see `open_plain`.
        DamagedFileError: it is not whole JSON.
    """
    content = _read_bytes(path)
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is not whole JSON ({error})") from error


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold, with a digest of it."""
    return {**content, SEAL: sha256_of_json(content)}


def broken_seal(content: dict[str, Any]) -> bool:
    """Take the digest of `sealed` out of what a file holds; whether it is missing, or that of something else."""
    return bool(content.pop(SEAL, None) != sha256_of_json(content))


def sha256_of(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(content: object) -> str:
    """Digest of what JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def save_sealed(path: Path, tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> Path:
    """Write a safetensors file whose metadata has a digest over its tensors and all other metadata."""
    from safetensors.torch import save_file  # noqa: PLC0415  torch alone must do for all the rest

    sealed = {**metadata, SEAL: _digest(tensors, metadata)}
    return write_whole(path, lambda temporary: save_file(dict(tensors), temporary, metadata=sealed))


def load_sealed(path: Path) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """Tensors and metadata of what `save_sealed` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: it is cut off or no such file, or a bit of it is not what was written.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with open_plain(path), safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFileError(f"{path} is cut off, or no safetensors file ({error})") from error
    seal = metadata.pop(SEAL, None)
    if seal is None:
        raise DamagedFileError(f"{path} has no digest of its content: another program or version wrote it")
    if seal != _digest(tensors, metadata):
        raise DamagedFileError(f"{path} is damaged: its content is not what was written, by its sha256")
    return tensors, metadata


def _digest(tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> str:
    import torch  # noqa: PLC0415  records are read without it

    found = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _told(path: Path, temporary: Path, error: OSError | RuntimeError) -> OSError | RuntimeError:
    """The error, or of a full disk one that says so: torch speaks of positions in a file instead."""
    free = shutil.disk_usage(path.parent).free
    if getattr(error, "errno", None) not in _FULL and free > _NEARLY_FULL:
        return error
    begun = temporary.stat().st_size if temporary.exists() else 0
    return OSError(
        errno.ENOSPC,
        f"the disk is full: {begun} bytes of the file were written and {free} are free. What was there before is left; "
        "free some space and give the same command again",
        str(path),
    )
