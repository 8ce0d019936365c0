"""Where the images of an uncompressed tar shard lie: found once, kept in the cache, then read by offset."""

import json
import logging
import tarfile
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from phis_lab.cache import cache_folder
from phis_lab.data.source import UNLABELLED, digest

_BLOCK = 512
_IMAGE_ENDINGS = ("jpg", "jpeg", "png", "webp")
_log = logging.getLogger(__name__)


@dataclass
class TarIndex:
    """The images of one shard: file names, byte offsets, sizes in bytes, labels (-1 where there is none)."""

    names: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)


def index_shard(shard: Path) -> TarIndex:
    """Returns the shard's index, from the cache if the shard has kept its size and time of modification.

    Args:
        shard: an uncompressed tar in webdataset's layout. The files of a sample share the path up to the
            first dot of the file name; `cls` holds the label as text, or `json` holds it under `label` or
            `cls`.

    Raises:
        ValueError: the shard is missing, truncated or compressed, repeats a file, has no image or a malformed
            label.
    """
    if not shard.is_file():
        raise ValueError(f"there is no shard {shard}; check data.root, data.train_shards and data.test_shards")
    status = shard.stat()
    key = digest("1", str(shard.resolve()), str(status.st_size), str(status.st_mtime_ns))
    kept = cache_folder("webdataset") / f"{key}.json"
    if kept.is_file():
        return TarIndex(**json.loads(kept.read_text()))
    _log.info("indexing %s", shard)
    index = _scan(shard)
    with tempfile.NamedTemporaryFile("w", dir=kept.parent, delete=False) as file:
        json.dump(asdict(index), file)
    Path(file.name).replace(kept)
    return index


def _scan(shard: Path) -> TarIndex:
    index = TarIndex()
    with shard.open("rb") as file:
        for key, members in _samples(shard).items():
            for ending in _IMAGE_ENDINGS:
                if ending in members:
                    image = members[ending]
                    index.names.append(image.name)
                    index.offsets.append(image.offset_data)
                    index.sizes.append(image.size)
                    index.labels.append(_label(file, members, f"{shard}, sample {key}"))
                    break
    if not index.names:
        raise ValueError(f"{shard} holds no image; a sample needs one file of {', '.join(_IMAGE_ENDINGS)}")
    return index


def _samples(shard: Path) -> dict[str, dict[str, tarfile.TarInfo]]:
    """Groups the shard's files by sample: key, then ending."""
    samples: dict[str, dict[str, tarfile.TarInfo]] = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in filter(tarfile.TarInfo.isreg, tar):
                folder, _, name = member.name.rpartition("/")
                stem, _, ending = name.partition(".")
                sample = samples.setdefault(f"{folder}/{stem}" if folder else stem, {})
                if ending.lower() in sample:
                    raise ValueError(f"{shard} holds {member.name} twice; keys must be unique within a shard")
                sample[ending.lower()] = member
            end = tar.offset
    except tarfile.TarError as error:
        raise ValueError(f"{shard} is truncated or no uncompressed tar ({error}); copy or unpack it again") from error
    _check_end(shard, end)
    return samples


def _check_end(shard: Path, end: int) -> None:
    """Refuses a shard that stops after a whole file, which the tar format allows to read in silence."""
    with shard.open("rb") as file:
        file.seek(end)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise ValueError(f"{shard} is truncated or damaged: no end-of-archive block at byte {end}; copy it again")


def _label(file: BinaryIO, members: dict[str, tarfile.TarInfo], sample: str) -> int:
    text = {ending: _text(file, members[ending]) for ending in ("cls", "json") if ending in members}
    try:
        if "cls" in text:
            return int(text["cls"])
        fields = json.loads(text.get("json", "{}"))
        return int(fields.get("label", fields.get("cls", UNLABELLED)))
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{sample}: a label is an integer in .cls, or in .json under label or cls; got {text}"
        ) from error


def _text(file: BinaryIO, member: tarfile.TarInfo) -> str:
    file.seek(member.offset_data)
    return file.read(member.size).decode()
