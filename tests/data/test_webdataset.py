import gzip
import io
import tarfile

import pytest
import torch
from PIL import Image

from phis_lab.data import CorruptImageError, tar_index
from phis_lab.data.tar_index import index_shard
from phis_lab.data.webdataset import WebDataset


@pytest.fixture
def shards(tmp_path, write_tar, samples):
    write_tar(tmp_path / "train-00.tar", samples(range(5)))
    write_tar(tmp_path / "train-01.tar", samples(range(5, 9)))
    write_tar(tmp_path / "test-00.tar", samples(range(9, 12)))
    return tmp_path


@pytest.mark.parametrize("pattern", ["train-{00..01}.tar", "train-*.tar", "train-0{0,1}.tar"])
def test_images_are_read_at_random_through_the_index(shards, pixels, pattern):
    source = WebDataset(root=str(shards), train_shards=pattern)
    assert source.train.labels.tolist() == [number % 3 for number in range(9)]
    for number in (7, 0, 4, 5, 0):
        assert torch.equal(source.train.image(number), pixels(number))
    assert torch.equal(source.test.image(2), pixels(11))
    assert source.train.classes == ("0", "1", "2")


def test_class_names_come_from_the_file_beside_the_shards(shards):
    (shards / "classes.txt").write_text("cat\ndog\nowl\n")
    assert WebDataset(root=str(shards)).train.classes == ("cat", "dog", "owl")


def test_a_label_without_a_class_name_is_refused(shards):
    (shards / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(ValueError, match="each has a class name, got label 2 with 2 names"):
        WebDataset(root=str(shards)).read()


def test_train_and_test_count_the_same_classes(shards, write_tar, samples):
    write_tar(shards / "test-00.tar", samples(range(1)))
    assert WebDataset(root=str(shards)).test.classes == ("0", "1", "2")


def test_labels_are_read_from_text_or_json_and_may_be_missing(tmp_path, write_tar, png):
    files = {
        "a/1.jpg.cls": b"7",
        "a/1.png": png(1),
        "a/1.cls": b"4\n",
        "a/2.PNG": png(2),
        "a/2.json": b'{"label": 5, "caption": "x"}',
        "b/1.png": png(3),
        "b/1.json": b'{"cls": 6}',
        "c.png": png(4),
        "readme.txt": b"text",
    }
    index = index_shard(write_tar(tmp_path / "shard.tar", files))
    assert index.names == ["a/1.png", "a/2.PNG", "b/1.png", "c.png"]
    assert index.labels == [4, 5, 6, -1]


def test_a_shard_is_scanned_once_and_again_when_it_changes(tmp_path, write_tar, samples, monkeypatch):
    scans = []
    scan = tar_index._scan
    monkeypatch.setattr(tar_index, "_scan", lambda shard: scans.append(shard) or scan(shard))
    shard = write_tar(tmp_path / "shard.tar", samples(range(3)))
    assert index_shard(shard) == index_shard(shard)
    assert len(scans) == 1
    write_tar(shard, samples(range(30)))
    assert len(index_shard(shard).names) == 30
    assert len(scans) == 2


def test_a_shard_cut_anywhere_before_its_end_is_refused_by_name(tmp_path, write_tar, samples):
    content = write_tar(tmp_path / "whole.tar", samples(range(2))).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as tar:
        end = max(member.offset_data + member.size for member in tar)
    shard = tmp_path / "cut.tar"
    for size in {*range(0, end, 512), *range(100, end, 700), end, -(-end // 512) * 512}:
        shard.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"cut\.tar is truncated"):
            index_shard(shard)


def bytes_of_a_repeated_file(tmp_path, write_tar, png):
    path = write_tar(tmp_path / "one.tar", {"1.png": png(1)})
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("1.png")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    return path.read_bytes()


def test_a_shard_that_cannot_be_indexed_is_refused_by_name(tmp_path, write_tar, png, samples):
    whole = write_tar(tmp_path / "whole.tar", samples(range(2))).read_bytes()
    empty = write_tar(tmp_path / "empty.tar", {"readme.txt": b"text"}).read_bytes()
    wrong = write_tar(tmp_path / "label.tar", {"1.png": png(1), "1.cls": b"cat"}).read_bytes()
    cases = {
        "no uncompressed tar": gzip.compress(whole),
        "holds no image": empty,
        "sample 1: a label is an integer": wrong,
        "holds 1.png twice": bytes_of_a_repeated_file(tmp_path, write_tar, png),
    }
    for message, content in cases.items():
        shard = tmp_path / "bad.tar"
        shard.write_bytes(content)
        with pytest.raises(ValueError, match=rf"bad\.tar.*{message}"):
            index_shard(shard)


def test_missing_shards_are_named(shards):
    with pytest.raises(ValueError, match=r"there is no shard .*train-02\.tar"):
        WebDataset(root=str(shards), train_shards="train-{00..02}.tar").read()
    with pytest.raises(ValueError, match=r"no shard in .* matches valid-\*\.tar"):
        WebDataset(root=str(shards), test_shards="valid-*.tar").read()


def test_shards_without_test_images_are_read_and_val_serves_where_there_is_no_test(shards):
    (shards / "test-00.tar").rename(shards / "val-00.tar")
    assert len(WebDataset(root=str(shards)).test) == 3
    (shards / "val-00.tar").unlink()
    source = WebDataset(root=str(shards))
    assert [len(source.train), len(source.test)] == [8, 1]


def test_a_corrupt_jpeg_in_a_sound_shard_is_named(tmp_path, write_tar, pixels):
    file = io.BytesIO()
    Image.fromarray(pixels(0).permute(1, 2, 0).contiguous().numpy()).save(file, "jpeg")
    broken = file.getvalue()[:200]
    write_tar(tmp_path / "train-0.tar", {"a.jpg": file.getvalue(), "b.jpg": broken})
    write_tar(tmp_path / "test-0.tar", {"a.jpg": file.getvalue()})
    source = WebDataset(root=str(tmp_path)).train
    assert source.image(0).shape == (3, 8, 8)
    with pytest.raises(CorruptImageError, match=r"train-0\.tar:b\.jpg does not decode"):
        source.image(1)
