"""Whatever a file holds that is read back, its reader gives what was written or says which file is wrong."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from drawn_images import DrawnImages
from fuzzed import ANYTHING, changed, damaged, read_or_named
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import save
from small_arms import make_arm, make_group, patch_pool
from synthetic_records import record

from phis_lab.data.tar_index import index_shard
from phis_lab.engine import Run, load_checkpoint, save_checkpoint
from phis_lab.engine.run import Start
from phis_lab.linalg import Moments
from phis_lab.normalizers import FeatureMap, PhiS
from phis_lab.runs import RunRecord, read_progress, read_record, write_record
from phis_lab.runs.listing import config_of, list_runs
from phis_lab.survey.statistics import Statistics, read_statistics
from phis_lab.teachers.store import FeatureStore
from phis_lab.teachers.store.shard import damage, write_shard
from phis_lab.whole_files import save_sealed, sealed

RECORD: dict[str, Any] = json.loads(record().model_dump_json())
TENSORS = st.dictionaries(
    st.sampled_from(["count", "mean", "scatter", "fitted", "shift", "x"]),
    st.builds(
        lambda shape, dtype: torch.zeros(shape, dtype=dtype),
        st.lists(st.integers(1, 3), min_size=1, max_size=3),
        st.sampled_from([torch.float32, torch.float64, torch.int64, torch.bool, torch.bfloat16, torch.complex64]),
    ),
    max_size=4,
)


@given(st.data())
def test_records(folder: Path, data: st.DataObject) -> None:
    path = write_record(folder, record())
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    read_or_named(lambda: read_record(path), path)


@given(changed(RECORD) | st.builds(lambda value: {"schema_version": 2, "x": value}, ANYTHING))
def test_records_of_another_structure_with_a_digest_of_it(folder: Path, content: dict[str, Any]) -> None:
    path = folder / "result.json"
    path.write_text(json.dumps(sealed(content)))
    read = read_or_named(lambda: read_record(path), path)
    assert read is None or isinstance(read, RunRecord)


@given(st.binary(max_size=500) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_progress_that_cannot_be_read_is_none(folder: Path, content: bytes) -> None:
    (folder / "progress.json").write_bytes(content)
    assert read_progress(folder) is None


@given(st.binary(max_size=300) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_statistics(folder: Path, content: bytes) -> None:
    (folder / "statistics.json").write_bytes(content)
    read = read_or_named(lambda: read_statistics(folder), "statistics.json")
    assert read in (None, Statistics())


@given(TENSORS, st.dictionaries(st.sampled_from(["moments_format", "teacher"]), st.sampled_from(["2", "1", ""])))
def test_moments(folder: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    path = save_sealed(folder / "moments.safetensors", tensors, metadata)
    read_or_named(lambda: Moments.load(path).covariance, path)


@given(
    TENSORS,
    st.sampled_from(["PhiS", "Identity", "FeatureMap", "PartialWhiten", "os.system", ""]),
    ANYTHING.map(json.dumps) | st.text(max_size=20) | st.sampled_from(['{"dim": 2}', '{"dim": 1e9}', '{"dim": -1}']),
)
def test_normalisers(folder: Path, tensors: dict[str, torch.Tensor], name: str, options: str) -> None:
    path = save_sealed(folder / "normalizer.safetensors", tensors, {"normalizer": name, "options": options})
    read_or_named(lambda: FeatureMap.load(path), path)


@given(st.data(), st.sampled_from(["moments", "normalizer"]))
def test_bytes_of_safetensors(folder: Path, data: st.DataObject, kind: str) -> None:
    moments = Moments(3).update(torch.eye(3, dtype=torch.float64).repeat(4, 1))
    path = folder / f"bytes_of_{kind}.safetensors"
    moments.save(path) if kind == "moments" else PhiS(3).fit(moments).save(path)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    read_or_named(lambda: (Moments if kind == "moments" else FeatureMap).load(path), path)


@given(st.data())
def test_bytes_of_checkpoints(folder: Path, data: st.DataObject) -> None:
    save_checkpoint(folder, {"config_sha256": "x", "step": 5, "tensor": torch.arange(9.0)})
    path = folder / "checkpoint.pt"
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    (folder / "checkpoint.previous.pt").unlink(missing_ok=True)
    read_or_named(lambda: load_checkpoint(folder, "x"), path)
    path.unlink()


STATE = {"config_sha256": "x", "seed": 0, "sources": {"a": "b"}, "step": 5, "arm": {"step": 1}, "run": {"seconds": 1.0}}


@given(changed(STATE))
def test_checkpoints_of_another_structure_with_a_digest_of_it(folder: Path, state: dict[str, Any]) -> None:
    save_checkpoint(folder, state)
    (folder / "checkpoint.previous.pt").unlink(missing_ok=True)
    read_or_named(lambda: load_checkpoint(folder, "x", 0, {"a": "b"}), "checkpoint.pt")


COUNTED = {
    "history": [{"step": 8, "metrics": {"knn/accuracy": 0.5}, "teacher_metrics": {}}],
    "units": {"knn/accuracy": "fraction"},
    "logged": [(4, {"train/loss": 1.0})],
    "seconds": 2.0,
    "train_seconds": 1,
    "images_seen": 80,
    "corrupt_names": ["a.png"],
    "trained_on": {"1 cpu": 5},
}
GOES_ON = {"step": 5, "arm": {"modules": {}, "optimizer": {}}, "estimation": {"grids": {}}, "run": COUNTED}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    (run,) = make_group(tmp_path_factory.mktemp("resumed"), {"phis": make_arm}).runs
    run.folder.mkdir(parents=True)
    return run


@given(changed(GOES_ON))
@example(GOES_ON)
@example({**GOES_ON, "step": -1})
@example({**GOES_ON, "step": True})
@example({**GOES_ON, "run": {**COUNTED, "seconds": "2"}})
def test_runs_that_go_on_from_another_structure(run: Run, state: dict[str, Any]) -> None:
    state = {"config_sha256": run.job.sha256, "seed": run.job.seed, "sources": {}, **state}
    save_checkpoint(run.folder, state)
    (run.folder / "checkpoint.previous.pt").unlink(missing_ok=True)
    run.start = Start()
    read_or_named(run.resume, "checkpoint.pt")
    assert run.start.step == state.get("step") or run.start == Start()
    assert isinstance(run.seconds, float)
    assert all(isinstance(step, int) and isinstance(values, dict) for step, values in run.logged)


@given(TENSORS, st.dictionaries(st.sampled_from(["key", "view", "first", "rows", "x"]), ANYTHING, max_size=4))
def test_shards_of_the_store(folder: Path, tensors: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    path = folder / "shard.safetensors"
    write_shard(path, tensors, facts)
    wanted = {"x": (torch.float32, (2,))}
    assert damage(path, {"view": 0}, wanted) is None or isinstance(damage(path, {"view": 0}, wanted), str)


@given(st.data())
def test_bytes_of_shards_of_the_store(folder: Path, data: st.DataObject) -> None:
    store = FeatureStore(folder / "store", "int8", patch_pool(), [(2, 3)], DrawnImages(count=16, views=1))
    path = next(iter((folder / "store").rglob("*.safetensors")), None)
    if path is not None:
        path.write_bytes(data.draw(damaged(path.read_bytes())))
    store.prepare(torch.device("cpu"))
    assert len(store.read(DrawnImages(count=16, views=1).all_keys(), torch.device("cpu"))) == 1


def tar(members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name or "x")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


MEMBERS = [("a.jpg", b"x" * 700), ("a.cls", b"3"), ("b.jpg", b"y"), ("b.json", b'{"label": 4}')]
NAMES = st.sampled_from(["a.jpg", "a.cls", "a.json", "b.png", "b.json"]) | st.text(max_size=12)


@given(
    damaged(tar(MEMBERS))
    | st.lists(
        st.tuples(NAMES, st.binary(max_size=40) | ANYTHING.map(lambda v: json.dumps(v).encode())), max_size=5
    ).map(tar)
)
def test_shards_of_images(folder: Path, content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHIS_LAB_CACHE", str(folder / "cache"))
        path = folder / "shard.tar"
        path.write_bytes(content)
        read_or_named(lambda: index_shard(path), path)


@given(st.binary(max_size=200) | ANYTHING.map(lambda value: yaml.safe_dump(value).encode()))
def test_configurations_beside_a_record(folder: Path, content: bytes) -> None:
    run = folder / "listed"
    write_record(run, record())
    (run / "config.yaml").write_bytes(content)
    read_or_named(lambda: config_of(run), "config.yaml")
    found, _ = list_runs(run)
    assert len(found) == 1


def test_safetensors_whose_header_promises_more_than_there_is(folder: Path) -> None:
    content = save({"mean": torch.zeros(2)})
    path = folder / "long.safetensors"
    for header in (b"\xff" * 8, (2**40).to_bytes(8, "little"), (99_999_999).to_bytes(8, "little")):
        path.write_bytes(header + content[8:])
        with pytest.raises(ValueError, match=r"long\.safetensors"):
            Moments.load(path)
