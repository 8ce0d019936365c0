"""The files of an uncompressed tar shard, by webdataset's rule of keys."""

import tarfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from phis_lab.data.left_out import LeftOut
from phis_lab.data.listing import is_hidden
from phis_lab.whole_files import open_plain

_BLOCK = 512
_CHECKED_REST = 1024**2
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}

Samples = dict[str, dict[str, "Member"]]
"""The files of a shard by key, then by ending."""


class Member(NamedTuple):
    """One file of a shard: its name, and where its bytes lie."""

    name: str
    offset: int
    size: int


def split_key(name: str) -> tuple[str, str]:
    """Returns a file's key, which ends at the first dot behind the last slash, and its ending in lower case.

    Example:
        >>> split_key("a.b/scan_1.v2.JPG")
        ('a.b/scan_1', 'v2.jpg')
    """
    folder, slash, file = name.rpartition("/")
    stem, _, ending = file.partition(".")
    return folder + slash + stem, ending.lower()


def read_samples(shard: Path, left_out: LeftOut) -> Samples:
    """Groups a shard's files by sample; hard links stand for the file that they link to.

    Args:
        shard: an uncompressed tar.
        left_out: counts hidden files, links and what else is no plain file.

    Raises:
        ValueError: the shard cannot be read, is truncated or compressed, goes on after its end, or repeats a file.
    """
    samples: Samples = {}
    try:
        _refuse_compressed(shard)
        with tarfile.open(shard, "r:") as tar:
            known: dict[str, Member] = {}
            for info in tar:
                if info.size < 0:  # which leads back to a file that was read, for ever
                    raise ValueError(f"{shard} is damaged: {info.name} has {info.size} bytes; copy it again")
                member = _member(info, known, left_out)
                if member is None:
                    continue
                known[info.name] = member
                key, ending = split_key(member.name)
                if samples.setdefault(key, {}).setdefault(ending, member) is not member:
                    raise ValueError(f"{shard} holds {member.name} twice; keys must be unique within a shard")
            end = tar.offset
        _check_end(shard, end)
    except tarfile.TarError as error:
        raise ValueError(f"{shard} is truncated or no uncompressed tar ({error}); copy or unpack it again") from error
    except OSError as error:
        raise ValueError(f"{shard} cannot be read ({error.strerror or error}); check the file and its disk") from error
    return samples


def _member(info: tarfile.TarInfo, known: dict[str, Member], left_out: LeftOut) -> Member | None:
    if info.isdir():
        return None
    if any(is_hidden(part) for part in PurePosixPath(info.name).parts):
        left_out.add("hidden file{s}", PurePosixPath(info.name).suffix or info.name)
    elif info.islnk() and info.linkname in known:
        return known[info.linkname]._replace(name=info.name)
    elif not info.isreg() or info.issparse():
        left_out.add("link{s}, sparse or special files", info.name)
    else:
        return Member(info.name, info.offset_data, info.size)
    return None


def _refuse_compressed(shard: Path) -> None:
    with open_plain(shard) as file:
        start = file.read(6)
    for magic, kind in _COMPRESSED.items():
        if start.startswith(magic):
            raise ValueError(
                f"{shard} is no uncompressed tar but compressed by {kind}; images are read at random places of it, so "
                "decompress it once"
            )


def _check_end(shard: Path, end: int) -> None:
    """Refuses a shard that stops after a whole file, or goes on after its end, as the tar format allows in silence."""
    with open_plain(shard) as file:
        file.seek(end)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise ValueError(f"{shard} is truncated or damaged: no end-of-archive block at byte {end}; copy it again")
        if file.read(_CHECKED_REST).strip(b"\0"):
            raise ValueError(
                f"{shard} goes on after its end-of-archive block at byte {end}, as joined archives do; what follows "
                "would not be read, so give each archive a file of its own"
            )
