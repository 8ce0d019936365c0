"""Two processes fill a store together, and read it together."""

import json
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from drawn_images import DrawnImages
from processes import free_port, run_ranks
from small_arms import patch_pool

from phis_lab.teachers.store import FeatureStore, table

CPU = torch.device("cpu")


def work(rank: int, port: int, folder: Path, breaks: bool) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    table.SHARD_BYTES = 1
    images, pool = DrawnImages(), patch_pool()
    if breaks and rank == 1:
        pool.teachers["loud"].scale = float("nan")
    store = FeatureStore(folder / "store", "float32", pool, {(2, 2)}, images)
    try:
        store.prepare(CPU)
        features = store.read(images.all_keys(), CPU)[2, 2]
        torch.save({name: list(of) for name, of in features.items()}, folder / f"read{rank}.pt")
        said = "nothing"
    except ValueError as error:
        said = str(error)
    (folder / f"{rank}.json").write_text(json.dumps({"rendered": images.rendered, "said": said}))
    dist.destroy_process_group()


def outcomes(folder: Path, breaks: bool = False) -> list[dict[str, object]]:
    run_ranks(work, free_port(), folder, breaks)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.ddp
def test_two_processes_divide_a_fill_and_read_the_same_bits(tmp_path: Path) -> None:
    first, second = outcomes(tmp_path)
    keys = [(image, view) for view in range(2) for image in range(40)]
    assert sorted(map(tuple, first["rendered"] + second["rendered"])) == sorted(keys)
    assert len(first["rendered"]) == len(second["rendered"])
    images = DrawnImages()
    native = patch_pool()(images.batch(images.all_keys()))
    read = [torch.load(tmp_path / f"read{rank}.pt", weights_only=True) for rank in range(2)]
    for name, (summary, spatial) in read[0].items():
        assert torch.equal(summary, native[name].summary)
        assert torch.equal(spatial, read[1][name][1])


@pytest.mark.ddp
def test_a_process_that_cannot_fill_its_part_does_not_keep_the_other_waiting(tmp_path: Path) -> None:
    first, second = outcomes(tmp_path, breaks=True)
    assert first["said"] == "another process could not fill its part of the feature store"
    assert "teacher 'loud': NaN or infinite values" in second["said"]
