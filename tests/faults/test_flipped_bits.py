"""A file that is read back and holds something else than was written is named, whichever bit, page or end it lacks."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from drawn_images import DrawnImages
from fault_counts import TIMES, survived, tried
from faulty_commands import train_finished
from small_arms import patch_pool

from phis_lab.commands.export import export_run
from phis_lab.config.exported import load_exported
from phis_lab.data.fingerprint import remembered
from phis_lab.engine import load_checkpoint
from phis_lab.linalg import Moments
from phis_lab.normalizers import FeatureMap, PhiS
from phis_lab.runs import read_record
from phis_lab.survey.statistics import Statistics, read_statistics, write_statistics
from phis_lab.teachers.store import FeatureStore
from phis_lab.teachers.store.shard import damage

PAGE = 4096


class Kept(NamedTuple):
    """A kind of file that is read back: one of it, and what reads it, which says what it holds."""

    path: Path
    read: Callable[[], object]


def of_run(folder: Path) -> dict[str, Kept]:
    run, exported = folder / "run", folder / "exported"
    train_finished(run)
    export_run(run, exported)
    sha256 = read_record(run / "result.json").config_sha256
    load = lambda: load_exported(exported).state_dict().keys()  # noqa: E731
    return {
        "checkpoint": Kept(run / "checkpoint.pt", lambda: load_checkpoint(run, sha256)["step"]),
        "record": Kept(run / "result.json", lambda: read_record(run / "result.json")),
        "student.safetensors": Kept(exported / "student.safetensors", load),
        "student.json": Kept(exported / "student.json", load),
    }


def of_features(folder: Path) -> dict[str, Kept]:
    moments = Moments(8, provenance={"teacher": "loud"}).update(torch.randn(64, 8, dtype=torch.float64))
    moments.save(folder / "moments.safetensors")
    PhiS(8).fit(moments).save(folder / "normalizer.safetensors")
    write_statistics(folder, Statistics())
    return {
        "moments": Kept(folder / "moments.safetensors", lambda: Moments.load(folder / "moments.safetensors").count),
        "normaliser": Kept(
            folder / "normalizer.safetensors", lambda: FeatureMap.load(folder / "normalizer.safetensors").dim
        ),
        "statistics": Kept(folder / "statistics.json", lambda: read_statistics(folder)),
        "store shard": shard(folder / "store"),
    }


def shard(root: Path) -> Kept:
    store = FeatureStore(root, "int8", patch_pool(), [(2, 3)], DrawnImages(count=16, views=1))
    store.prepare(torch.device("cpu"))
    table = next(iter(store._readers.values())).table
    block = table.block_of(0, 0)

    def read() -> None:
        reason = damage(table.path(block), table.facts(block), table.layout(block))
        if reason is not None:
            raise ValueError(f"{table.path(block)}: {reason}")

    return Kept(table.path(block), read)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kept]:
    return of_run(tmp_path_factory.mktemp("of_run")) | of_features(tmp_path_factory.mktemp("of_features"))


def harmed(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """The content with one bit flipped, or now and then with a page of zeros or without its end."""
    kind = draw.choices(["flipped bit", "zeroed page", "lost end"], [8, 1, 1])[0]
    at = draw.randrange(len(content))
    if kind == "flipped bit":
        return kind, content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
    if kind == "lost end":
        return kind, content[:at]
    start = at - at % PAGE
    return kind, content[:start] + bytes(len(content[start : start + PAGE])) + content[start + PAGE :]


def outcome(read: Callable[[], object]) -> tuple[object, str]:
    """What was read, or in words why it was refused."""
    try:
        return read(), ""
    except (ValueError, OSError) as error:
        return None, str(error)


@pytest.mark.parametrize(
    "kind",
    [
        "checkpoint", "record", "student.safetensors", "student.json", "moments", "normaliser", "statistics",
        "store shard",
    ],
)  # fmt: skip
def test_what_is_not_what_was_written_is_named(kind: str, kept: dict[str, Kept], draw: random.Random) -> None:
    path, read = kept[kind]
    content, said = path.read_bytes(), read()
    is_text = path.suffix == ".json"
    try:
        for _ in range(50 * TIMES):
            event, other = harmed(content, draw)
            if other == content:
                continue
            path.write_bytes(other)
            tried(event, kind)
            found, error = outcome(read)
            if error:
                assert path.name in error or str(path.parent) in error, (event, error)
            else:
                assert is_text, event
                assert found == said, event
                assert json.loads(other) == json.loads(content), event  # a space between fields
            survived(event, kind)
    finally:
        path.write_bytes(content)


def test_a_fact_of_the_cache_that_is_not_what_was_written_is_found_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw: random.Random
) -> None:
    monkeypatch.setenv("PHIS_LAB_CACHE", str(tmp_path))
    fact: dict[str, Any] = {"names": ["a", "b"], "sizes": [1, 2]}
    remembered("facts", ["x"], lambda: fact)
    (path,) = tmp_path.rglob("*.json")
    content = path.read_bytes()
    for _ in range(50 * TIMES):
        event, other = harmed(content, draw)
        path.write_bytes(other)
        tried(event, "fact in the cache")
        assert remembered("facts", ["x"], lambda: fact) == fact, event
        survived(event, "fact in the cache")
