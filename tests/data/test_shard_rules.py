"""Which files of a shard are images and labels, which shards a pattern names, and what is told."""

import io
import logging
import os
import re
import tarfile

import pytest
import torch

from phis_lab.data import CorruptImageError
from phis_lab.data.tar_index import index_shard
from phis_lab.data.webdataset import WebDataset, matching_shards


@pytest.mark.parametrize(
    ("image", "label"), [("jpg", "cls"), ("v2.png", "v2.cls"), ("input.png", "cls"), ("INPUT.PNG", "json")]
)
def test_a_key_ends_at_the_first_dot_and_the_image_s_ending_may_have_more(tmp_path, write_tar, png, image, label):
    index = index_shard(write_tar(tmp_path / "s.tar", {f"scan_1.{image}": png(1), f"scan_1.{label}": b"4"}))
    assert (index.names, index.labels, index.left_out) == ([f"scan_1.{image}"], [4], {})


def test_of_several_images_of_a_sample_the_one_without_a_dot_is_read_and_the_others_are_counted(
    tmp_path, write_tar, png
):
    shard = write_tar(tmp_path / "s.tar", {"1.png": png(1), "1.mask.png": png(2), "1.txt": b"a cat"})
    index = index_shard(shard)
    assert index.names == ["1.png"]
    assert index.left_out == {"file{s} of other kinds": {".txt": 1}, "further image{s}": {".mask.png": 1}}
    assert index_shard(shard, "mask.png").names == ["1.mask.png"]


def test_several_images_of_a_sample_are_refused_with_the_rule_and_one_can_be_chosen(tmp_path, write_tar, png):
    files = {"a.in.png": png(1), "a.out.png": png(2), "b.in.png": png(3), "c.out.png": png(4)}
    shard = write_tar(tmp_path / "s.tar", files)
    with pytest.raises(ValueError, match=r"s\.tar, sample a has 2 images \(in\.png, out\.png\).* data\.image=in\.png"):
        index_shard(shard)
    index = index_shard(shard, "in.png")
    assert index.names == ["a.in.png", "b.in.png"]
    assert index.left_out["sample{s} without .in.png"] == {".out.png": 1}


def test_images_of_one_key_and_one_ending_are_refused(tmp_path, write_tar, png):
    shard = write_tar(tmp_path / "s.tar", {"photo.2021.png": png(1), "photo.2022.png": png(2)})
    with pytest.raises(ValueError, match=r"sample photo has 2 images .*first dot"):
        index_shard(shard)


def test_what_a_shard_holds_besides_images_is_told_in_one_line(tmp_path, write_tar, png, caplog):
    files = {"1.png": png(1), "._1.png": b"x", "2.txt": b"no image", "3.png": png(3), "3.txt": b"text"}
    write_tar(tmp_path / "train-0.tar", files)
    write_tar(tmp_path / "train-1.tar", files)
    with caplog.at_level(logging.WARNING):
        train = WebDataset(root=str(tmp_path)).read()[0]
    assert len(train) == 4
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"left out of {tmp_path.name}/train: ")
    for part in ("2 hidden files (.png)", "2 samples without an image (.txt)", "2 files of other kinds (.txt)"):
        assert part in line


@pytest.mark.parametrize(
    ("file", "label"),
    [
        ({"json": b"3"}, 3),
        ({"json": b'{"caption": "x"}'}, -1),
        ({"json": b'{"label": null}'}, -1),
        ({"json": b'{"label": 2.0}'}, 2),
        ({"txt": b"5"}, -1),
        ({"cls": b"-1"}, -1),
    ],
)
def test_labels_are_integers_and_text_is_none(tmp_path, write_tar, png, file, label):
    files = {"1.png": png(1)} | {f"1.{ending}": content for ending, content in file.items()}
    assert index_shard(write_tar(tmp_path / "s.tar", files)).labels == [label]


@pytest.mark.parametrize(
    "file",
    [
        {"cls": b"cat"},
        {"cls": b""},
        {"cls": b"-7"},
        {"cls": b"99999999999"},
        {"cls": b"\xff\xfe"},
        {"json": b'{"label": "cat"}'},
        {"json": b'{"label": 2.5}'},
        {"json": b'{"label": [1]}'},
        {"json": b"{"},
        {"json": b"[1]"},
    ],
)
def test_other_labels_are_refused_by_name(tmp_path, write_tar, png, file):
    files = {"k.png": png(1)} | {f"k.{ending}": content for ending, content in file.items()}
    with pytest.raises(ValueError, match=r"s\.tar, sample k: a label is an integer that counts from 0"):
        index_shard(write_tar(tmp_path / "s.tar", files))


def add(tar, name, content=b"", **fields):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_folders_and_links_within_a_tar(tmp_path, png, pixels, kind):
    name = "f" * 90 + "/ü" + "k" * 90 + ".png"
    with tarfile.open(tmp_path / "train-0.tar", "w", format=kind) as tar:
        add(tar, "f" * 90, type=tarfile.DIRTYPE)
        add(tar, name, png(1))
        add(tar, "hard.png", type=tarfile.LNKTYPE, linkname=name)
        add(tar, "soft.png", type=tarfile.SYMTYPE, linkname=name)
    train, _ = WebDataset(root=str(tmp_path)).read()
    assert train.names == [name, "hard.png"]
    assert all(torch.equal(train.image(at), pixels(1)) for at in range(2))
    assert index_shard(tmp_path / "train-0.tar").left_out == {"link{s}, sparse or special files": {"soft.png": 1}}


@pytest.mark.parametrize(("compress", "kind"), [("gz", "gzip"), ("bz2", "bzip2"), ("xz", "xz")])
def test_a_compressed_shard_is_refused(tmp_path, png, compress, kind):
    with tarfile.open(tmp_path / "s.tar", f"w:{compress}") as tar:
        add(tar, "1.png", png(1))
    with pytest.raises(ValueError, match=rf"s\.tar is no uncompressed tar but compressed by {kind}"):
        index_shard(tmp_path / "s.tar")


def test_joined_archives_are_refused(tmp_path, write_tar, samples):
    shard = write_tar(tmp_path / "s.tar", samples(range(3)))
    shard.write_bytes(shard.read_bytes() + shard.read_bytes())
    with pytest.raises(ValueError, match=r"s\.tar goes on after its end-of-archive block"):
        index_shard(shard)


def test_a_shard_that_is_rewritten_in_place_is_indexed_again(tmp_path, write_tar, png):
    shard = write_tar(tmp_path / "train-0.tar", {"1.png": png(1), "1.cls": b"1"})
    train, _ = WebDataset(root=str(tmp_path)).read()
    times = shard.stat()
    write_tar(shard, {"2.png": png(1), "2.cls": b"2"})
    assert shard.stat().st_size == times.st_size
    os.utime(shard, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert index_shard(shard).labels == [2]
    os.utime(shard, ns=(0, 0))
    with pytest.raises(ValueError, match=r"train-0\.tar was changed while the run reads it"):
        train.image(0)
    shard.unlink()
    with pytest.raises(CorruptImageError, match=r"train-0\.tar:1\.png does not decode: it cannot be read"):
        train.image(0)


@pytest.fixture
def shards(tmp_path):
    for name in ("train-000", "train-001", "train-002", "more/train-000", "odd[1]", "._train-003"):
        file = tmp_path / f"{name}.tar"
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("train-00?.tar", ["train-000", "train-001", "train-002"]),
        ("train-00[12].tar", ["train-001", "train-002"]),
        ("train-{002..000}.tar", ["train-002", "train-001", "train-000"]),
        ("train-{000..002..2}.tar", ["train-000", "train-002"]),
        ("{more/,}train-000.tar", ["more/train-000", "train-000"]),
        ("**/train-000.tar", ["more/train-000", "train-000"]),
        ("odd[1].tar", ["odd[1]"]),
        (["train-001.tar", "train-*.tar"], ["train-001", "train-000", "train-002"]),
        ("more/*.tar::train-002.tar", ["more/train-000", "train-002"]),
    ],
)
def test_patterns_name_shards_in_a_fixed_order(shards, tmp_path, monkeypatch, pattern, expected):
    wanted = [shards / f"{name}.tar" for name in expected]
    assert matching_shards(shards, pattern) == wanted
    patterns = [pattern] if isinstance(pattern, str) else pattern
    absolute = ["::".join(f"{shards}/{part}" for part in one.split("::")) for one in patterns]
    assert matching_shards(tmp_path / "elsewhere", absolute) == wanted
    monkeypatch.setenv("HOME", str(shards))
    home = ["::".join(f"~/{part}" for part in one.split("::")) for one in patterns]
    assert matching_shards(tmp_path / "elsewhere", home) == wanted


def test_patterns_that_name_nothing_are_refused_by_their_part(shards):
    for pattern, named in (("{train,valid}-*.tar", r"matches valid-\*"), ("https://a/{0..1}.tar", "no file on a disk")):
        with pytest.raises(ValueError, match=named):
            matching_shards(shards, pattern)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.tar", ["a.tar"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{008..010}.tar", ["008.tar", "009.tar", "010.tar"]),
        ("{a,b}{0..1}", ["a0", "a1", "b0", "b1"]),
        ("{x,{a,b}-{0..1}}", ["x", "a-0", "a-1", "b-0", "b-1"]),
        ("{c..a}", list("cba")),
        ("{0..9..4}", list("048")),
    ],
)
def test_braces_expand_as_in_a_shell(tmp_path, pattern, expected):
    assert [shard.name for shard in matching_shards(tmp_path, pattern)] == expected


@pytest.mark.parametrize("pattern", ["train-{00..01.tar", "train-00..01}.tar"])
def test_a_brace_without_its_other_half_is_refused(tmp_path, pattern):
    with pytest.raises(ValueError, match=re.escape(f"{pattern} has a brace that is never")):
        matching_shards(tmp_path, pattern)


def test_shards_that_train_and_test_are_told(tmp_path, write_tar, samples, caplog):
    write_tar(tmp_path / "test-0.tar", samples(range(3)))
    with caplog.at_level(logging.WARNING):
        WebDataset(root=str(tmp_path), train_shards="*.tar").read()
    assert "both train and test: test-0.tar" in caplog.text


def test_the_file_of_class_names_and_the_chosen_image_enter_the_fingerprint(tmp_path, write_tar, png):
    write_tar(tmp_path / "train-0.tar", {"1.a.png": png(1), "1.b.png": png(2), "1.cls": b"0"})
    made = [WebDataset(root=str(tmp_path), image=image).read()[0].fingerprint for image in ("a.png", "b.png")]
    (tmp_path / "classes.txt").write_text("cat\n")
    made.append(WebDataset(root=str(tmp_path), image="a.png").read()[0].fingerprint)
    assert len(set(made)) == 3
