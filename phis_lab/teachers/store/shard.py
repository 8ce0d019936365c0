"""One file of the store: a block of rows of one view, with the key they belong to and checksums over everything."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from phis_lab.whole_files import open_plain, write_whole

CHECKSUM = "crc32"
Facts = Mapping[str, Any]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class Shard(NamedTuple):
    """A shard that was opened: its tensors are views of the mapped file, which needs no open file handle."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def write_shard(path: Path, tensors: Mapping[str, Tensor], facts: Facts) -> None:
    """Write a shard under a temporary name and rename it, so that a final name always means a whole file.

    Args:
        path: final name.
        tensors: contiguous, on the CPU.
        facts: what the shard holds, as JSON values; the checksums cover them too.
    """
    words = {name: json.dumps(value, sort_keys=True) for name, value in facts.items()}
    metadata = words | {CHECKSUM: json.dumps(_checksums(tensors, words))}
    write_whole(path, lambda temporary: save_file(dict(tensors), temporary, metadata))


def open_shard(path: Path) -> Shard:
    """Map a shard into memory.

    Raises:
        ValueError: it is missing, truncated, or no shard.
    """
    try:
        with open_plain(path), safe_open(path, framework="pt") as file:
            words = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
        return Shard(tensors, {name: json.loads(word) for name, word in words.items()})
    except (OSError, SafetensorError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a shard of teacher features: {error}") from error


def damage(path: Path, expected: Facts, layout: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> str | None:
    """Why a shard cannot be used; None for a sound one.

    Args:
        path: a file that exists.
        expected: facts that it must have.
        layout: dtype and shape of every tensor that it must have.
    """
    try:
        shard = open_shard(path)
    except ValueError as error:
        return str(error.__cause__)
    found = dict(shard.facts)
    checksums = found.pop(CHECKSUM, None)
    foreign = [f"{name} is {was}, not {should}" for name, was, should in _differences(found, expected)]
    if foreign:
        return f"it belongs to other features: {'; '.join(foreign)}"
    if {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in shard.tensors.items()} != dict(layout):
        return "its tensors have other shapes or dtypes"
    words = {name: json.dumps(value, sort_keys=True) for name, value in found.items()}
    if checksums != _checksums(shard.tensors, words):
        return "its checksum is wrong"
    return None


def _differences(found: Facts, expected: Facts, path: str = "") -> list[tuple[str, Any, Any]]:
    """The facts, by dotted name, in which two mappings disagree, out of those expected."""
    differing: list[tuple[str, Any, Any]] = []
    for name, should in expected.items():
        was = found.get(name)
        if isinstance(should, Mapping) and isinstance(was, Mapping):
            differing += _differences(was, should, f"{path}{name}.")
        elif was != should:
            differing.append((f"{path}{name}", was, should))
    return differing


def _checksums(tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> dict[str, int]:
    """A checksum per tensor, and one of the facts, under the name "facts"."""
    sums = {name: zlib.crc32(as_bytes(tensor).data) for name, tensor in tensors.items()}
    return sums | {"facts": zlib.crc32(json.dumps(dict(sorted(words.items()))).encode())}


def as_bytes(tensor: Tensor) -> Bytes:
    """The memory of a contiguous tensor, row by row for more than one dimension: `[rows, bytes per row]`."""
    flat = tensor.view(len(tensor), -1) if tensor.ndim > 1 else tensor
    array: Bytes = flat.view(torch.uint8).numpy()
    return array
