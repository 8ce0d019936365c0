"""Small generated data sets: PNG folders and tar shards whose pixels are known."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch) -> Path:
    """Gives every test an empty cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PHIS_LAB_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pixels() -> Callable[..., Tensor]:
    """Returns the uint8 [3, h, w] image that stands for a number."""

    def make(number: int, height: int = 8, width: int = 8) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)

    return make


@pytest.fixture
def png(pixels) -> Callable[..., bytes]:
    """Returns the PNG file of the image that stands for a number."""

    def encode(number: int, **size: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels(number, **size).permute(1, 2, 0))).save(file, "png")
        return file.getvalue()

    return encode


@pytest.fixture
def write_tar() -> Callable[[Path, Files], Path]:
    """Writes files into an uncompressed tar."""

    def write(path: Path, files: Files) -> Path:
        with tarfile.open(path, "w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return path

    return write


@pytest.fixture
def samples(png) -> Callable[[range], Files]:
    """Returns webdataset samples for some numbers, each labelled by its number modulo 3."""

    def make(numbers: range) -> Files:
        return {
            name: content
            for number in numbers
            for name, content in (
                (f"{number:04}.png", png(number)),
                (f"{number:04}.cls", str(number % 3).encode()),
            )
        }

    return make
