import gzip
import hashlib
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision

from phis_lab.data import cifar10, fashion_mnist
from phis_lab.data.cifar10 import CIFAR10
from phis_lab.data.download import appearing_folder
from phis_lab.data.fashion_mnist import FashionMNIST, parse_idx

NOWHERE = "http://127.0.0.1:9/"


def idx(values):
    array = np.asarray(values, dtype=np.uint8)
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def contents():
    """The four files of a tiny Fashion-MNIST: 3 training and 2 test images of 4 x 5."""
    values = np.arange(5 * 4 * 5).reshape(5, 4, 5)
    return {
        "train-images-idx3-ubyte": idx(values[:3]),
        "train-labels-idx1-ubyte": idx([9, 0, 4]),
        "t10k-images-idx3-ubyte": idx(values[3:]),
        "t10k-labels-idx1-ubyte": idx([1, 2]),
    }


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No way to fetch anything: no hosts, no apt, no installed package."""
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", [NOWHERE])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", NOWHERE)
    monkeypatch.setattr(fashion_mnist, "_INSTALLED", tmp_path / "usr" / "share" / "fashion-mnist")
    monkeypatch.setenv("PATH", str(tmp_path))


def write(folder, contents, compress=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / (name + ".gz" * compress)).write_bytes(gzip.compress(content) if compress else content)
    return folder


def expect(monkeypatch, contents):
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(fashion_mnist, "_SHA256", sums)


@pytest.mark.parametrize("compress", [True, False])
def test_fashion_mnist_is_read_from_a_given_folder(tmp_path, contents, compress):
    source = FashionMNIST(root=str(write(tmp_path, contents, compress)))
    assert (len(source.train), len(source.test)) == (3, 2)
    assert source.train.labels.tolist() == [9, 0, 4]
    assert source.train.classes[9] == "Ankle boot"
    expected = torch.arange(60, 80, dtype=torch.uint8).reshape(4, 5)
    assert torch.equal(source.test.image(0), torch.stack([expected] * 3))


def test_a_missing_file_of_a_given_folder_is_named(tmp_path, contents):
    del contents["t10k-labels-idx1-ubyte"]
    with pytest.raises(ValueError, match=r"got no t10k-labels-idx1-ubyte\(\.gz\) in .*; set data\.root"):
        FashionMNIST(root=str(write(tmp_path, contents))).read()


@pytest.mark.parametrize("content", [b"", b"\0\0\x09\x01\0\0\0\x01a", idx([1, 2])[:-1], idx([1, 2]) + b"x"])
def test_a_malformed_idx_file_is_refused(content):
    with pytest.raises(ValueError, match="an idx file is"):
        parse_idx(content)


@pytest.mark.usefixtures("offline")
def test_the_installed_package_serves_without_a_download(contents, monkeypatch, own_cache):
    expect(monkeypatch, contents)
    write(fashion_mnist._INSTALLED, contents)
    assert len(FashionMNIST().train) == 3
    assert not (own_cache / "data" / "fashion_mnist").exists()


@pytest.mark.usefixtures("offline")
def test_files_with_a_wrong_checksum_are_refused(contents, own_cache):
    write(own_cache / "data" / "fashion_mnist", contents)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte: sha256 .* expected c59f468a.*delete the folder"):
        FashionMNIST().read()


@pytest.mark.usefixtures("offline")
def test_where_everything_fails_the_error_tells_each_cause_and_the_way_out(own_cache):
    with pytest.raises(ValueError, match="cannot be fetched") as caught:
        FashionMNIST().read()
    for cause in ("not installed", "torchvision: Error downloading", "apt-get download: ", "set data.root"):
        assert cause in str(caught.value)
    assert list((own_cache / "data").iterdir()) == []


@pytest.mark.usefixtures("offline")
def test_a_debian_package_is_unpacked_into_the_cache(contents, monkeypatch, own_cache):
    inside = fashion_mnist._INSTALLED.relative_to("/")
    monkeypatch.setattr(fashion_mnist, "unpack_debian_package", lambda _, folder: write(folder / inside, contents))
    expect(monkeypatch, contents)
    assert len(FashionMNIST().train) == 3
    (kept,) = (own_cache / "data").iterdir()
    assert sorted(file.name for file in kept.iterdir()) == sorted(f"{name}.gz" for name in contents)


@pytest.mark.usefixtures("offline")
def test_a_download_with_a_wrong_checksum_is_a_cause_and_is_not_kept(contents, monkeypatch, own_cache):
    monkeypatch.setattr(fashion_mnist, "_from_torchvision", lambda folder: write(folder, contents))
    with pytest.raises(ValueError, match=r"torchvision: .*sha256 of the decompressed file"):
        FashionMNIST().read()
    assert list((own_cache / "data").iterdir()) == []


def test_a_folder_appears_whole_or_not_at_all_and_the_first_of_two_wins(tmp_path):
    target = tmp_path / "target"
    with pytest.raises(RuntimeError), appearing_folder(target):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with appearing_folder(target) as first, appearing_folder(target) as second:
        (first / "1").touch()
        (second / "2").touch()
    assert [file.name for file in target.iterdir()] == ["2"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.usefixtures("offline")
def test_cifar10_that_cannot_be_fetched_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"CIFAR-10 is not whole in .*set data.root"):
        CIFAR10(root=str(tmp_path / "root")).read()
    assert list((tmp_path / "root").iterdir()) == []


def test_cifar10_is_fetched_once_keeps_only_its_images_and_reads_as_torchvision_does(monkeypatch, own_cache):
    downloads = []

    def fake(root, train=True, download=False):
        if download:
            downloads.append(root)
            (root / "cifar-10-python.tar.gz").touch()
            (root / "cifar-10-batches-py" / "data_batch_1").touch()
        data = np.random.default_rng(train).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
        return SimpleNamespace(data=data, targets=[3, 1, 0, 2], classes=list("abcd"))

    monkeypatch.setattr(cifar10.torchvision.datasets, "CIFAR10", fake)
    for source in (CIFAR10(), CIFAR10()):
        assert source.train.labels.tolist() == [3, 1, 0, 2]
        assert np.array_equal(source.test.image(2).permute(1, 2, 0).numpy(), fake("", False).data[2])
    assert len(downloads) == 1
    kept = own_cache / "data" / "cifar10" / "cifar-10-batches-py" / "data_batch_1"
    assert [file for file in own_cache.rglob("*") if file.is_file()] == [kept]
