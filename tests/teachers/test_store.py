"""What was stored is read back, whatever happened to the files in between."""

import dataclasses
import json
import logging
import shutil
import socket
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from drawn_images import DrawnImages
from small_arms import PatchTeacher, patch_pool
from torch import Tensor

from phis_lab.features import Features, match_grid
from phis_lab.teachers import TeacherPool
from phis_lab.teachers.store import FeatureStore, StoreDtype, plan, table

CPU = torch.device("cpu")
GRID = (2, 3)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 16 rows, so that 40 images make three shards per view."""
    monkeypatch.setattr(table, "SHARD_BYTES", 1)


def open_store(
    root: Path,
    images: DrawnImages | None = None,
    dtype: StoreDtype = "float32",
    grids: tuple[tuple[int, int], ...] = (GRID,),
    pool: TeacherPool | None = None,
) -> FeatureStore:
    store = FeatureStore(root, dtype, pool or patch_pool(), grids, images or DrawnImages())
    store.prepare(CPU)
    return store


def calls(store: FeatureStore) -> int:
    return sum(teacher.calls for teacher in store.pool.teachers.values())


def shards(root: Path) -> list[Path]:
    return sorted(root.rglob("*.safetensors"))


def written(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_ino for path in shards(root)}


def assert_holds_the_features(store: FeatureStore, images: DrawnImages) -> None:
    keys = images.all_keys()
    native = patch_pool()(images.batch(keys))
    for grid, by_teacher in store.read(keys, CPU).items():
        for name, features in by_teacher.items():
            assert torch.equal(features.summary, native[name].summary)
            assert torch.equal(features.spatial, match_grid(native[name].spatial, grid))


def test_float32_gives_back_the_bits_of_the_teachers_on_every_grid(tmp_path: Path) -> None:
    images = DrawnImages()
    store = open_store(tmp_path, images, grids=(GRID, (2, 2), (8, 8)))
    assert_holds_the_features(store, images)
    assert len(shards(tmp_path)) == 2 * 3 * 2 * 3  # teachers, grids, views, blocks


def test_a_teacher_with_fewer_tokens_is_kept_on_its_own_grid_and_once_for_all_students(tmp_path: Path) -> None:
    images = DrawnImages()
    store = open_store(tmp_path, images, grids=((4, 4), (8, 8), (16, 16)))
    assert_holds_the_features(store, images)
    assert {folder.name.split("-")[2] for folder in tmp_path.iterdir()} == {"own"}
    assert len(shards(tmp_path)) == 2 * 2 * 3


@pytest.mark.parametrize("lacks", ["summary", "spatial"])
def test_a_teacher_may_lack_a_kind_of_feature(tmp_path: Path, lacks: str) -> None:
    class Half(PatchTeacher):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            setattr(self, f"{lacks}_dim", None)

        def features(self, x: Tensor) -> Features:
            return super().features(x)._replace(**{lacks: None})

    images = DrawnImages()
    store = open_store(tmp_path, images, pool=TeacherPool({"half": Half("half", 6, 1.0, 0)}, "float32"))
    read = store.read(images.all_keys(), CPU)[GRID]["half"]
    assert getattr(read, lacks) is None
    assert sum(tensor is not None for tensor in read) == 1


def test_a_complete_store_is_read_without_a_teacher(tmp_path: Path) -> None:
    open_store(tmp_path)
    before = written(tmp_path)
    images = DrawnImages()
    again = open_store(tmp_path, images)
    assert images.rendered == []
    assert calls(again) == len(again.pool.teachers)  # one image each, for the shapes
    assert written(tmp_path) == before
    assert_holds_the_features(again, images)


def test_another_view_is_added_to_what_is_there(tmp_path: Path) -> None:
    open_store(tmp_path, DrawnImages(views=1))
    before = written(tmp_path)
    images = DrawnImages(views=2)
    store = open_store(tmp_path, images)
    assert {view for _, view in images.rendered} == {1}
    assert before.items() <= written(tmp_path).items()
    assert_holds_the_features(store, images)


def test_another_teacher_passes_only_its_own_features(tmp_path: Path) -> None:
    quiet = {"quiet": patch_pool().teachers["quiet"]}
    open_store(tmp_path, pool=TeacherPool(quiet, "float32"))
    store = open_store(tmp_path)
    assert store.pool.teachers["quiet"].calls == 1
    assert store.pool.teachers["loud"].calls > 1


@pytest.mark.parametrize("change", ["sha256", "layer", "image_size", "precision", "dtype", "data", "split", "name"])
def test_features_that_may_differ_have_another_folder(tmp_path: Path, change: str) -> None:
    pool, images, dtype = patch_pool(), DrawnImages(), "float32"
    loud = pool.teachers["loud"]
    if change == "sha256":
        loud.weights = dataclasses.replace(loud.weights, sha256="other")
    elif change == "layer":
        loud.layer = "other"
    elif change == "image_size":
        loud.pixels.image_size = 64
    elif change == "precision":
        pool.precision = "bfloat16"
    elif change == "dtype":
        dtype = "bfloat16"
    elif change == "name":
        pool.teachers["other"] = pool.teachers.pop("loud")
    else:
        setattr(images, change, "other")
    open_store(tmp_path)
    before = {folder.name for folder in tmp_path.iterdir()}
    open_store(tmp_path, images, dtype, pool=pool)
    both = {"precision", "dtype", "data", "split"}
    assert len({folder.name for folder in tmp_path.iterdir()} - before) == (2 if change in both else 1)


def test_the_place_of_the_weights_does_not_matter_and_the_key_can_be_read(tmp_path: Path) -> None:
    open_store(tmp_path)
    moved = patch_pool()
    for teacher in moved.teachers.values():
        teacher.weights = dataclasses.replace(teacher.weights, source="/elsewhere")
    before = written(tmp_path)
    open_store(tmp_path, pool=moved)
    assert written(tmp_path) == before
    (key,) = [json.loads(path.read_text()) for path in tmp_path.glob("loud-train-2x3-float32-*/key.json")]
    assert key["teacher"]["sha256"] == "2"
    assert key["images"] == {"data": "drawn", "split": "train"}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))


def of_another_teacher(path: Path) -> None:
    (other,) = path.parents[1].glob(f"quiet-*/{path.name}")
    shutil.copy(other, path)


def of_another_block(path: Path) -> None:
    shutil.copy(path.with_name("view0001-0000000016.safetensors"), path)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (truncate, "incomplete|not fully covered|IncompleteBuffer"),
        (lengthen, "incomplete|not fully covered|IncompleteBuffer"),
        (empty, "header"),
        (flip_a_byte, "its checksum is wrong"),
        (of_another_teacher, "it belongs to other features: key.teacher.name is quiet, not loud"),
        (of_another_block, "it belongs to other features: view is 1, not 0"),
    ],
)
def test_a_damaged_shard_is_named_and_rebuilt_alone(
    tmp_path: Path, harm: Callable[[Path], None], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    open_store(tmp_path)
    (victim,) = tmp_path.glob("loud-*/view0000-0000000016.safetensors")
    harm(victim)
    before = written(tmp_path)
    images = DrawnImages()
    with caplog.at_level(logging.WARNING):
        store = open_store(tmp_path, images)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"{victim} is computed anew: ")
    assert any(word in warning for word in says.split("|")), warning
    assert sorted(images.rendered) == [(index, 0) for index in range(16, 32)]
    assert {path for path, inode in written(tmp_path).items() if before[path] != inode} == {victim}
    assert_holds_the_features(store, images)


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    open_store(tmp_path, DrawnImages(count=2, views=1), "int8")
    store = open_store(tmp_path, DrawnImages(count=2, views=1), "int8")
    reader = next(iter(store._readers.values()))
    block = reader.table.block_of(0, 0)
    path, expected = reader.table.path(block), (reader.table.facts(block), reader.table.layout(block))
    from phis_lab.teachers.store.shard import damage

    content = path.read_bytes()
    assert damage(path, *expected) is None
    for position in range(0, len(content), 3):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x04]) + content[position + 1 :])
        assert damage(path, *expected) is not None, position


def break_after(pool: TeacherPool, batches: int, error: BaseException) -> None:
    loud = pool.teachers["loud"]
    run = loud.features

    def features(x: Tensor) -> Features:
        if loud.calls > batches:
            raise error
        return run(x)

    loud.features = features


def test_a_fill_that_broke_goes_on_where_it_stopped(tmp_path: Path) -> None:
    pool = patch_pool()
    break_after(pool, 3, OSError("the power went out"))
    with pytest.raises(OSError, match="the power went out"):
        open_store(tmp_path, pool=pool)
    before = written(tmp_path)
    assert before
    images = DrawnImages()
    store = open_store(tmp_path, images)
    assert 0 < len(set(images.rendered)) < 80
    assert before.items() < written(tmp_path).items()
    assert not list(tmp_path.rglob("*.part"))
    assert_holds_the_features(store, images)


def test_ctrl_c_stops_a_fill_and_keeps_what_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool = patch_pool()
    break_after(pool, 3, KeyboardInterrupt())
    with pytest.raises(SystemExit) as stop:
        open_store(tmp_path, pool=pool)
    assert stop.value.code == 130
    assert "What is written stays; the same command goes on." in caplog.text
    assert shards(tmp_path)
    images = DrawnImages()
    assert_holds_the_features(open_store(tmp_path, images), images)


def test_a_disk_that_is_too_small_is_refused_before_the_teachers_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**9, 10**9, 1000))
    pool = patch_pool()
    with pytest.raises(ValueError, match=r"teachers\.store=.*new: the missing features take .* MB, 0\.00 MB are free"):
        open_store(tmp_path / "new", pool=pool)
    assert all(teacher.calls == 1 for teacher in pool.teachers.values())
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_needs_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(tmp_path)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**9, 10**9, 0))
    images = DrawnImages()
    assert_holds_the_features(open_store(tmp_path, images), images)


@pytest.mark.parametrize("corrupt", [{17}, set(range(16, 32))], ids=["one", "a whole block"])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_images_that_do_not_decode_have_no_row(tmp_path: Path, corrupt: set[int], dtype: StoreDtype) -> None:
    images = DrawnImages(corrupt=corrupt)
    store = open_store(tmp_path, images, dtype)
    if dtype == "float32":
        assert_holds_the_features(store, images)
    assert {report.rows for report in store.reports()} == {2 * (40 - len(corrupt))}
    with pytest.raises(ValueError, match=r"0000000016\.safetensors has no features of image 17: .* delete this file"):
        store.read(torch.tensor([[3, 0], [17, 0]]), CPU)


def test_values_beyond_float16_are_refused_with_advice(tmp_path: Path) -> None:
    pool = TeacherPool({"huge": PatchTeacher("huge", 6, 1e6, 0)}, "float32")
    with pytest.raises(ValueError, match=r"teacher 'huge', summary features: float16 holds .*\.store_dtype=bfloat16"):
        open_store(tmp_path, dtype="float16", pool=pool)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".json"]


def test_values_that_are_not_finite_are_refused_by_image(tmp_path: Path) -> None:
    class Broken(PatchTeacher):
        def features(self, x: Tensor) -> Features:
            features = super().features(x)
            if self.calls > 1:
                features.spatial[5, 0, 0, 0] = torch.nan
            return features

    pool = TeacherPool({"broken": Broken("broken", 6, 1.0, 0)}, "float32")
    message = r"teacher 'broken': NaN or infinite values in its spatial features of drawn\[5\] \(view 0\)"
    with pytest.raises(ValueError, match=message):
        open_store(tmp_path, pool=pool)


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    open_store(tmp_path)
    part = shards(tmp_path)[0].with_name(f".shard.{socket.gethostname()}-{2**22 + 1}.part")
    part.touch()
    open_store(tmp_path)
    assert not part.exists()


def test_teachers_whose_blocks_differ_in_size_are_filled_in_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet_row = 4 * (12 + 6 * 12)
    monkeypatch.setattr(table, "SHARD_BYTES", 32 * quiet_row)
    images = DrawnImages()
    store = open_store(tmp_path, images)
    blocks = {name: len(list(tmp_path.glob(f"{name}-*/view0000-*"))) for name in ("quiet", "loud")}
    assert blocks == {"quiet": 2, "loud": 3}
    assert len(images.rendered) == 80
    assert_holds_the_features(store, images)


def test_a_view_of_several_units_of_work_is_filled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "LARGEST_BLOCK", 32)
    images = DrawnImages()
    assert_holds_the_features(open_store(tmp_path, images), images)
    assert sorted(images.rendered) == [(index, view) for index in range(40) for view in range(2)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_shard_is_read_through_the_page_cache_without_an_open_file(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.read(torch.tensor([[0, 0]]), CPU)
    (mapped,) = tmp_path.glob("loud-*/view0000-0000000000.safetensors")
    assert str(mapped) in Path("/proc/self/maps").read_text()
    opened = [file.resolve() for file in Path("/proc/self/fd").iterdir()]
    assert mapped not in opened
