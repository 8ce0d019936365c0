"""Files are whole or not there, readable as the user's umask says, and tell when their content is another."""

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from phis_lab import whole_files
from phis_lab.engine import load_checkpoint
from phis_lab.linalg import Moments
from phis_lab.normalizers import Normalizer, PhiS
from phis_lab.runs import read_record
from phis_lab.teachers.store.shard import open_shard
from phis_lab.whole_files import (
    DamagedFileError,
    left_parts,
    load_sealed,
    part_folder,
    read_json,
    read_text,
    remove_parts,
    save_sealed,
    write_text,
    write_whole,
)


@pytest.fixture
def group_may_read() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def fitted(folder: Path) -> tuple[Moments, Path, Path]:
    moments = Moments(8, provenance={"teacher": "loud"}).update(torch.randn(64, 8, dtype=torch.float64))
    moments.save(folder / "moments.safetensors")
    PhiS(8).fit(moments).save(folder / "normalizer.safetensors")
    return moments, folder / "moments.safetensors", folder / "normalizer.safetensors"


def test_what_was_there_stays_when_writing_fails(tmp_path: Path) -> None:
    path = write_text(tmp_path / "new" / "file", "before")

    def broken(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(errno.EIO, "the cable is out")

    with pytest.raises(OSError, match="the cable is out"):
        write_whole(path, broken)
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "x"), RuntimeError("unexpected pos 898176 vs 898068")])
def test_a_full_disk_is_told_with_what_is_free(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_files.shutil, "disk_usage", lambda _: Free())

    def broken(temporary: Path) -> None:
        temporary.write_bytes(bytes(1000))
        raise error

    with pytest.raises(OSError, match="the disk is full: 1000 bytes of the file were written and 12 are free") as told:
        write_whole(tmp_path / "file", broken)
    assert told.value.filename == str(tmp_path / "file")
    assert not list(tmp_path.iterdir())


class Free:
    free = 12


def test_files_follow_the_umask(tmp_path: Path, group_may_read: None) -> None:
    _, moments, normalizer = fitted(tmp_path)
    text = write_text(tmp_path / "text", "x")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (moments, normalizer, text)} == {0o640}


@pytest.mark.parametrize("which", ["moments", "normalizer"])
def test_every_flipped_bit_is_found(which: str, tmp_path: Path) -> None:
    fitted(tmp_path)
    path = tmp_path / f"{which}.safetensors"
    read = Moments.load if which == "moments" else Normalizer.load
    read(path)
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1 << position % 8]) + content[position + 1 :])
        with pytest.raises(ValueError, match=path.name):
            read(path)


@pytest.mark.parametrize("content", [b"", b"x", bytes(4096)])
def test_what_is_no_such_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "torn.safetensors"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"torn\.safetensors is cut off, or no safetensors file"):
        load_sealed(path)


def test_a_digest_covers_metadata_and_is_not_part_of_it(tmp_path: Path) -> None:
    path = save_sealed(tmp_path / "file", {"x": torch.arange(3)}, {"why": "because"})
    tensors, metadata = load_sealed(path)
    assert metadata == {"why": "because"}
    assert tensors["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("read", [load_sealed, read_json, read_text, Moments.load, open_shard, read_record])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_plain_file_is_named_and_not_waited_for(read: object, make: object, tmp_path: Path) -> None:
    make(tmp_path / "strange")
    with pytest.raises((ValueError, OSError), match="strange"):
        read(tmp_path / "strange")


def test_a_checkpoint_that_is_a_pipe_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "checkpoint.pt")
    with pytest.raises((ValueError, OSError), match=r"checkpoint\.pt"):
        load_checkpoint(tmp_path, "0" * 64)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a": ' * 5000, b"\xff", b"1e", b"9" * 10_000])
def test_what_is_no_whole_json_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"torn\.json is not whole JSON"):
        read_json(tmp_path / "torn.json")


def test_a_host_whose_name_has_dots_finds_its_own_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "node1.cluster.local")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f".file.node1.cluster.local-{ended.pid}.part").touch()
    with part_folder(tmp_path / "out") as part:
        (part / "begun").touch()
        assert left_parts(tmp_path, "out") == []
    remove_parts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_parts_of_dead_processes_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = socket.gethostname()
    dead, alive, far, old = (
        tmp_path / f".file.{owner}.part" for owner in (f"{here}-{ended.pid}", f"{here}-{os.getpid()}", "far-1", "far-2")
    )
    for part in (dead, alive, far, old):
        part.touch()
    of_safetensors, being_written = tmp_path / ".tmpAb3dE9", tmp_path / ".tmpAb3dE8"
    for part in (of_safetensors, being_written):
        part.touch()
    for part in (old, of_safetensors):
        os.utime(part, (0, 0))
    remove_parts(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([alive, far, being_written])


def test_what_a_dead_process_left_of_a_file_goes_when_the_file_is_written_again(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    owner = f"{socket.gethostname()}-{ended.pid}"
    for name in ("[odd] file", "other"):
        (tmp_path / f".{name}.{owner}.part").touch()
    write_text(tmp_path / "[odd] file", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".other.{owner}.part", "[odd] file"]
