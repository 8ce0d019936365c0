"""An image that is no photograph but an attack, a slip or an accident counts as corrupt, with its reason."""

import io
import multiprocessing
import os
import signal
import socket
import struct
import time
import zlib
from pathlib import Path

import pytest
import torch
from PIL import EpsImagePlugin, Image

from phis_lab.data import (
    Augmentation,
    BatchLoader,
    CorruptCounter,
    CorruptImageError,
    DataModule,
    TensorImages,
    decoding,
    plain_files,
    workers,
)
from phis_lab.data.ade20k import ADE20K
from phis_lab.data.decoding import MOST_PIXELS, decode_image
from phis_lab.data.fingerprint import fingerprint_files
from phis_lab.data.image_folder import ImageFolder
from phis_lab.data.loading import CentralViews
from phis_lab.data.masks import Masked, MaskedImages
from phis_lab.data.torchvision_sets import TorchvisionImages
from phis_lab.data.webdataset import WebDataset
from phis_lab.data.workers import WorkerError
from phis_lab.evals.embedding import source_batches
from phis_lab.evals.tasks.segmentation import _sound

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


def png(width, height, chunks=(), rows=None):
    """A grey PNG of one bit, all black, which shrinks a thousandfold."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes((height if rows is None else rows) * (1 + -(-width // 8))), 9))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*one) for one in chunks) + data + chunk(b"IEND", b"")


def folder(tmp_path, content, images=100):
    """A hundred images of which the first is something else."""
    for part in ("train", "test"):
        for number in range(images):
            file = tmp_path / part / "only" / f"{number:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if number == 0 else png(8, 8))
    return ImageFolder(root=str(tmp_path), batch_size=10)


def test_a_small_file_of_169_megapixels_counts_as_corrupt(tmp_path, caplog):
    bomb = png(13_000, 13_000)
    assert len(bomb) < 25_000
    loader = DataModule(folder(tmp_path, bomb), Augmentation(8), 10).eval_loader("test")
    assert sum(len(images) for images, _ in loader) == 99
    (name,) = loader.batches.corrupt.names
    assert name.endswith("000.png")
    assert "too large, with 13000 x 13000 pixels where at most 134,217,728 are read; make it smaller" in caplog.text


def test_photographs_of_a_hundred_megapixels_are_within_the_bound():
    assert 11_656 * 8_742 < MOST_PIXELS < Image.MAX_IMAGE_PIXELS * 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "TGA", "JPEG2000", "QOI"])
def test_every_kind_of_image_is_within_the_bound(kind, monkeypatch):
    file = io.BytesIO()
    Image.new("RGB", (8, 9)).save(file, kind)
    monkeypatch.setattr(decoding, "MOST_PIXELS", 72)
    assert decode_image(file.getvalue(), "x").shape == (3, 9, 8)
    monkeypatch.setattr(decoding, "MOST_PIXELS", 71)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as programs set it that read huge images
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(CorruptImageError, match="8 x 9 pixels"):
        decode_image(file.getvalue(), "x")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), OSError(5, "bad disk")]
)
def test_want_of_memory_counts_wherever_it_comes(error, tmp_path, monkeypatch, caplog):
    class Greedy(TensorImages):
        def image(self, index):
            if index == 3:
                raise error
            return super().image(index)

    source = Greedy("greedy", torch.zeros(200, 8, 8, dtype=torch.uint8), torch.zeros(200, dtype=torch.long), ["a"])
    batches = BatchLoader(CentralViews(source, Augmentation(8)), [[(i, 0) for i in range(10)]], 0, 600)
    (batch,) = batches
    assert batch.corrupt == ["greedy[3]"]
    assert batch.reasons[0] in ("there is not enough memory for it", "it cannot be read (bad disk)")
    (embedded, _), *_ = source_batches(source, lambda image: image / 255, torch.device("cpu"), 200)
    assert len(embedded) == 199
    monkeypatch.setattr(Image.Image, "load", lambda self: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(CorruptImageError, match="x does not decode: there is not enough memory"):
        decode_image(png(8, 8), "x")


def test_torch_says_want_of_memory_as_this_expects():
    with pytest.raises(CorruptImageError, match="enough memory"), decoding.reading("x"):
        torch.empty(2**60, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="shape"), decoding.reading("x"):
        torch.zeros(3).view(2)


def test_a_file_of_more_bytes_than_any_image_needs_is_not_read(tmp_path, monkeypatch):
    source = folder(tmp_path, b"").train
    with source.files[0].open("wb") as sparse:
        sparse.truncate(2**40)
    with pytest.raises(CorruptImageError, match=r"000\.png .*1,099,511,627,776 bytes, and at most 1,073,741,824"):
        source.image(0)


def replaced_by(kind, path):
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        socket.socket(socket.AF_UNIX).bind(path.name)
        os.chdir(here)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "socket", "nothing"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_stands_in_the_place_of_a_listed_file_is_not_waited_for(kind, tmp_path, write_tar, samples):
    source = folder(tmp_path / "a", png(8, 8), 2).train
    replaced_by(kind, source.files[0])
    with pytest.raises(CorruptImageError, match=r"000\.png does not decode: it cannot be read"):
        source.image(0)
    assert fingerprint_files({"x": source.files[0]})
    (tmp_path / "b").mkdir()
    shard = write_tar(tmp_path / "b" / "train-0.tar", samples(range(3)))
    images = WebDataset(root=str(tmp_path / "b")).train
    replaced_by(kind, shard)
    with pytest.raises(CorruptImageError, match="cannot be read"):
        images.image(0)
    with pytest.raises(ValueError, match=r"train-(0\.)?"):
        WebDataset(root=str(tmp_path / "b")).read()


def test_links_to_devices_are_counted_as_devices(tmp_path, caplog):
    source = folder(tmp_path, png(8, 8), 2)
    (tmp_path / "train" / "only" / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "train" / "only" / "gone.png").symlink_to(tmp_path / "gone")
    assert len(source.train) == 2
    assert "1 dead link (only/gone.png), 1 pipe, sockets or devices (only/zero.png)" in caplog.text


def test_an_eps_starts_no_ghostscript_under_any_name_and_in_any_set(tmp_path, monkeypatch):
    ghost = tmp_path / "gs"
    ghost.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    ghost.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(CorruptImageError, match="no image"):
        decode_image(EPS, "x.jpg")

    class Opened(list):
        targets = (0,)

        def __getitem__(self, index):
            return Image.open(io.BytesIO(EPS)), 0

    with pytest.raises(CorruptImageError, match=r"set\[0\] does not decode"):
        TorchvisionImages("set", [Opened([0])]).image(0)
    assert EpsImagePlugin.gs_binary is False
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("kind", ["ICO", "PCX", "PDF", "SGI", "ICNS"])
def test_only_kinds_that_a_folder_is_searched_for_are_opened(kind):
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, kind)
    with pytest.raises(CorruptImageError, match="no image"):
        decode_image(file.getvalue(), "x.png")


def test_what_pillow_warns_of_is_logged_once_and_not_raised(caplog):
    odd = png(8, 8, [(b"acTL", struct.pack(">II", 0, 0))])
    decoding._told.clear()
    for name in ("a.png", "b.png"):
        assert decode_image(odd, name).shape == (3, 8, 8)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("a.png is read, and Pillow warns: Invalid APNG")


def test_corrupt_masks_and_images_are_left_out_of_a_segmentation(tmp_path, monkeypatch):
    for part in ("training", "validation"):
        for place, ending in (("images", "jpg"), ("annotations", "png")):
            (tmp_path / place / part).mkdir(parents=True)
            for number in range(3):
                Image.new("L", (8, 8), 1).save(tmp_path / place / part / f"{number}.{ending}")
    images = ADE20K(root=str(tmp_path)).train
    replaced_by("pipe", images.masks[0])
    images.files[1].unlink()
    images.masks[2].write_bytes(png(13_000, 13_000))
    for number, reason in enumerate(["0.png .*no plain file", "1.jpg .*No such file", "2.png .*too large"]):
        with pytest.raises(CorruptImageError, match=reason):
            images[number]


def test_a_segmentation_goes_on_without_its_corrupt_images(caplog):
    class Masks(MaskedImages):
        def __len__(self):
            return 200

        def __getitem__(self, index):
            if index == 7:
                raise CorruptImageError("7.png", "it is too large")
            return Masked(torch.zeros(3, 4, 4, dtype=torch.uint8), torch.full((4, 4), index, dtype=torch.uint8))

    masks = Masks("made", ["a", "b"])
    found = list(_sound(masks, torch.arange(5, 10), CorruptCounter("made", 200)))
    assert [int(one.mask[0, 0]) for one in found] == [5, 6, 8, 9]
    assert "left out a corrupt image: 7.png (it is too large)" in caplog.text
    with pytest.raises(ValueError, match="more than 1%"):
        list(_sound(masks, torch.tensor([7]), CorruptCounter("made", 1)))


def frozen(how):
    class Frozen(TensorImages):
        def image(self, index):
            if index == 5:
                how()
            return super().image(index)

    source = Frozen("made", torch.zeros(20, 8, 8, dtype=torch.uint8), torch.zeros(20, dtype=torch.long), ["a"])
    return CentralViews(source, Augmentation(8))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (lambda: time.sleep(10**6), r"no batch came within data\.timeout_s=1"),
        (lambda: os.kill(os.getpid(), signal.SIGSTOP), r"no batch came within data\.timeout_s=1"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "one has died"),
    ],
    ids=["asleep", "stopped", "killed"],
)
def test_a_worker_that_gives_no_answer_ends_the_pass_with_the_names_of_its_images(how, says, monkeypatch):
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.3)
    monkeypatch.setattr(workers, "_LOOK_EVERY", 0.4)
    before = set(multiprocessing.active_children())
    batches = BatchLoader(frozen(how), [[(at, 0), (at + 1, 0)] for at in range(0, 20, 2)], 2, 1)
    with pytest.raises(WorkerError, match=rf"{says}.* while they were at made\[5\]; look at") as told:
        list(batches)
    assert "raise data.timeout_s" in str(told.value)
    for child in set(multiprocessing.active_children()) - before:
        child.join(5)
        assert child.exitcode is not None


def test_a_worker_that_dies_while_a_step_is_taken_is_told_where_its_batch_is_waited_for(monkeypatch):
    monkeypatch.setattr(workers, "_LOOK_EVERY", 0.4)
    made = iter(BatchLoader(frozen(lambda: None), [[(at, 0)] for at in range(20)], 1, 60))
    next(made)
    (child,) = multiprocessing.active_children()
    child.kill()
    time.sleep(0.2)  # a step, in which nothing is raised
    with pytest.raises(WorkerError, match=r"one has died\) while they were at no image"):
        list(made)


def test_a_worker_that_is_stopped_after_it_sent_a_batch_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.3)
    monkeypatch.setattr(workers, "_LOOK_EVERY", 0.4)
    made = iter(BatchLoader(frozen(lambda: None), [[(at, 0)] for at in range(20)], 1, 1))
    next(made)
    time.sleep(0.3)  # the next batches are on their way
    (child,) = multiprocessing.active_children()
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(WorkerError, match=r"timeout_s=1"):
        list(made)
    assert child.exitcode == -signal.SIGKILL


def test_workers_leave_signals_to_the_run(monkeypatch):
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.3)
    made = iter(BatchLoader(frozen(lambda: time.sleep(0.1)), [[(at, 0)] for at in range(20)], 1, 60))
    next(made)
    (child,) = multiprocessing.active_children()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(child.pid, number)
    assert len(list(made)) == 19
    del made
    assert child not in multiprocessing.active_children()


def test_no_worker_is_left_when_the_process_ends():
    made = iter(BatchLoader(frozen(lambda: time.sleep(10**6)), [[(at, 0)] for at in range(20)], 1, 60))
    next(made)
    (child,) = multiprocessing.active_children()
    workers._end_workers()
    child.join(5)
    assert child.exitcode == -signal.SIGKILL


def test_the_bound_on_bytes_holds_the_largest_image_of_sixteen_bits():
    assert plain_files.MOST_BYTES == MOST_PIXELS * 4 * 2
