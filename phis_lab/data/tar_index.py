"""Where the images of an uncompressed tar shard lie: found once, kept in the cache, then read by offset."""

import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from phis_lab.data.fingerprint import file_state, remembered, sample_digest
from phis_lab.data.left_out import LeftOut
from phis_lab.data.listing import ending_of, refused_kind
from phis_lab.data.plain_files import read_part
from phis_lab.data.source import UNLABELLED
from phis_lab.data.tar_members import Member, read_samples, split_key
from phis_lab.whole_files import open_plain

_MOST_CLASSES = 1_000_000
_LONGEST_LABEL = 16 * 1024**2
_LABELS = ("cls", "json")
_log = logging.getLogger(__name__)


@dataclass
class TarIndex:
    """The images of one shard: file names, byte offsets, sizes in bytes, labels (-1 where there is none).

    `left_out` counts, by reason and by name or ending, what else the shard holds.
    """

    names: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)

    def part(self, positions: list[int], left_out: dict[str, dict[str, int]]) -> "TarIndex":
        """The index of some of the images."""
        return TarIndex(
            [self.names[at] for at in positions],
            [self.offsets[at] for at in positions],
            [self.sizes[at] for at in positions],
            [self.labels[at] for at in positions],
            left_out,
        )


def index_shard(shard: Path, image: str | None = None) -> TarIndex:
    """Returns the shard's index of one image per sample, from the cache if the shard has not been written since.

    Args:
        shard: an uncompressed tar in webdataset's layout. The files of a sample share the path up to the
            first dot of the file name; `cls` holds the label as text, or `json` holds it under `label` or
            `cls`.
        image: ending of the image, such as `input.jpg`; None takes the only image of a sample, or the only one whose
            ending has no dot.

    Raises:
        ValueError: the shard is missing, truncated or compressed, repeats a file, has no image, several images in a
            sample or a malformed label.
    """
    if not shard.is_file():
        what = f"{shard} is a folder and no shard" if shard.is_dir() else f"there is no shard {shard}"
        raise ValueError(f"{what}; check data.root, data.train_shards and data.test_shards")
    key = ["2", str(shard.resolve()), file_state(shard), sample_digest(shard)]
    index = TarIndex(**remembered("webdataset", key, lambda: asdict(_scan(shard))))
    return _one_per_sample(shard, index, image)


def _scan(shard: Path) -> TarIndex:
    """Finds every image with its label."""
    _log.info("indexing %s", shard)
    left_out, index = LeftOut(), TarIndex()
    samples = read_samples(shard, left_out)
    with open_plain(shard) as file:
        for key, members in samples.items():
            reasons = {ending: refused_kind(member.name) for ending, member in members.items()}
            images = [ending for ending, reason in reasons.items() if reason is None]
            for ending in images:
                _add(index, members[ending], _label(file, members, ending, f"{shard}, sample {key}"))
            for ending, reason in reasons.items():
                if reason and images and ending.rpartition(".")[2] not in _LABELS:
                    left_out.add(reason, ending_of(members[ending].name))
            if not images:
                left_out.add("sample{s} without an image", "+".join(f".{ending}" for ending in sorted(members)))
    index.left_out = {reason: dict(details) for reason, details in left_out.counts.items()}
    if not index.names:
        held = f"; it holds {left_out}" if left_out.counts else ""
        raise ValueError(f"{shard} holds no image; a sample needs a file like <key>.jpg{held}")
    return index


def _add(index: TarIndex, member: Member, label: int) -> None:
    index.names.append(member.name)
    index.offsets.append(member.offset)
    index.sizes.append(member.size)
    index.labels.append(label)


def _one_per_sample(shard: Path, index: TarIndex, image: str | None) -> TarIndex:
    samples: dict[str, dict[str, int]] = {}
    for position, name in enumerate(index.names):
        key, ending = split_key(name)
        samples.setdefault(key, {})[ending] = position
    left_out = LeftOut()
    for reason, details in index.left_out.items():
        left_out.counts[reason] = Counter(details)
    chosen: list[int] = []
    for key, endings in samples.items():
        taken = _chosen(endings, image, f"{shard}, sample {key}")
        if taken is None:
            left_out.add(f"sample{{s}} without .{image}", "+".join(f".{other}" for other in sorted(endings)))
            continue
        chosen.append(endings[taken])
        for other in endings.keys() - {taken}:
            left_out.add("further image{s}", f".{other}")
    if not chosen:
        raise ValueError(
            f"{shard} holds no image <key>.{image}; set data.image to the ending of its images: {left_out}"
        )
    return index.part(chosen, {reason: dict(details) for reason, details in left_out.counts.items()})


def _chosen(endings: Collection[str], image: str | None, sample: str) -> str | None:
    """The ending of the image of a sample, None where it has none of the kind that is asked for."""
    if image is not None:
        return image.lower().lstrip(".") if image.lower().lstrip(".") in endings else None
    candidates = endings if len(endings) == 1 else [ending for ending in endings if "." not in ending]
    if len(candidates) != 1:
        some = sorted(endings)
        raise ValueError(
            f"{sample} has {len(endings)} images ({', '.join(some[:5])}), for a key ends at the first dot of a file's "
            f"name; choose the one to read, as in data.image={some[0]}, or give images of their own keys without dots"
        )
    return next(iter(candidates))


def _label(file: BinaryIO, members: Mapping[str, Member], image: str, sample: str) -> int:
    """The label in `cls` or `json`, or in that with the same beginning as the image's ending: v2.cls of v2.jpg."""
    beginning = image.rpartition(".")[0]
    for kind in _LABELS:
        for ending in ([f"{beginning}.{kind}"] if beginning else []) + [kind]:
            if ending in members:
                member = members[ending]
                text = read_part(file, member.offset, min(member.size, _LONGEST_LABEL))
                try:
                    return _number(text if kind == "cls" else _field(json.loads(text)))
                except (TypeError, ValueError, RecursionError) as error:
                    raise ValueError(
                        f"{sample}: a label is an integer that counts from 0, in .cls, or in .json under label or cls; "
                        f"got {text[:200]!r} in .{ending}"
                    ) from error
    return UNLABELLED


def _field(found: Any) -> Any:
    """What a JSON file says about the class; nothing, or null, is no label."""
    value = found.get("label", found.get("cls")) if isinstance(found, dict) else found
    return UNLABELLED if value is None else value


def _number(value: Any) -> int:
    number = int(value)
    if (isinstance(value, bool | float) and number != value) or not UNLABELLED <= number < _MOST_CLASSES:
        raise ValueError(value)
    return number
