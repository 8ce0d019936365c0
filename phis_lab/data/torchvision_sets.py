"""Classified image sets that torchvision knows, for transfer: each with the split that its papers test on."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from phis_lab.data.datasource import DataSource
from phis_lab.data.decoding import reading
from phis_lab.data.download import fetching
from phis_lab.data.source import ImageSource, digest
from phis_lab.folders import cache_folder


@dataclass(frozen=True, kw_only=True)
class TorchvisionData(DataSource):
    """A data set in torchvision's own layout, downloaded on first use where its host still serves it.

    Attributes:
        root: the folder that torchvision takes as `root`; None is a folder of the cache.
    """

    name: ClassVar[str]
    root: str | None = None

    @abstractmethod
    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:
        """Returns torchvision's data sets to train on and to test on, one or more each."""

    def read(self) -> tuple[ImageSource, ImageSource]:
        """Returns the train and the test images.

        Raises:
            ValueError: they are neither at `root` nor can they be downloaded.
        """
        root = Path(self.root).expanduser() if self.root else cache_folder("data") / self.name
        try:
            train, test = self.open(root, download=False)
        except (OSError, RuntimeError):
            train, test = self._downloaded(root)
        return TorchvisionImages(f"{self.name}/train", train), TorchvisionImages(f"{self.name}/test", test)

    def _downloaded(self, root: Path) -> tuple[Sequence[Any], Sequence[Any]]:
        root.mkdir(parents=True, exist_ok=True)
        try:
            with fetching():
                return self.open(root, download=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{self.name} is not whole in {root} and was not downloaded ({error}); set its root to a folder in "
                "the layout of torchvision, or leave it out"
            ) from error


class TorchvisionImages(ImageSource):
    """Images of torchvision's data sets, one after the other.

    The fingerprint is of the labels and the name, for the pixels are the publisher's.

    Args:
        name: what logs call them.
        parts: data sets with the same classes; a `torch.utils.data.Subset` of one counts as one.
    """

    def __init__(self, name: str, parts: Sequence[Any]) -> None:
        labels = torch.cat([_labels(part) for part in parts])
        classes = getattr(getattr(parts[0], "dataset", parts[0]), "classes", None)
        names = [str(label) for label in classes or range(int(labels.max()) + 1)]
        super().__init__(name, digest(name, labels.numpy().tobytes()), labels, names)
        self.images: torch.utils.data.ConcatDataset[Any] = torch.utils.data.ConcatDataset(parts)

    def image(self, index: int) -> Tensor:  # noqa: D102
        with reading(self.image_name(index), Exception):  # decoders raise whatever a damaged file leads them to
            image = self.images[index][0].convert("RGB")
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _labels(part: Any) -> Tensor:
    if isinstance(part, torch.utils.data.Subset):
        return _labels(part.dataset)[torch.as_tensor(part.indices)]
    for attribute in ("targets", "labels", "_labels"):
        if hasattr(part, attribute):
            return torch.as_tensor(getattr(part, attribute)).long()
    return torch.tensor([label for _, label in part._samples])


def _split(whole: Any, train: float | int, test: int | None = None) -> tuple[list[Any], list[Any]]:
    """Fixed random images of every class to train on, a share or a number of them, and `test` or all others to test."""
    labels, generator = _labels(whole), torch.Generator().manual_seed(0)
    halves: tuple[list[int], list[int]] = ([], [])
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        members = members[torch.randperm(len(members), generator=generator)]
        count = train if isinstance(train, int) else round(train * len(members))
        halves[0].extend(members[:count].tolist())
        halves[1].extend(members[count:].tolist()[:test])
    first, second = (torch.utils.data.Subset(whole, sorted(half)) for half in halves)
    return [first], [second]


class Aircraft(TorchvisionData):
    """FGVC-Aircraft, 100 variants (Maji et al., 2013): 6,667 of trainval, 3,333 of test."""

    name = "aircraft"

    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: D102
        train, test = (datasets.FGVCAircraft(root, part, download=download) for part in ("trainval", "test"))
        return [train], [test]


class Cars(TorchvisionData):
    """Stanford Cars, 196 models (Krause et al., 2013): 8,144 + 8,041; its host is gone, so `root` has to hold it."""

    name = "cars"

    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: D102
        train, test = (datasets.StanfordCars(root, part, download=download) for part in ("train", "test"))
        return [train], [test]


class DTD(TorchvisionData):
    """Describable Textures, 47 classes (Cimpoi et al., 2014), partition 1: 3,760 of train and val, 1,880 of test."""

    name = "dtd"

    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: D102
        train, val, test = (datasets.DTD(root, part, download=download) for part in ("train", "val", "test"))
        return [train, val], [test]


class EuroSAT(TorchvisionData):
    """EuroSAT, 10 land uses (Helber et al., 2019): no published split, so a fixed random fifth of each class tests."""

    name = "eurosat"

    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: D102
        return _split(datasets.EuroSAT(root, download=download), train=0.8)


class Flowers(TorchvisionData):
    """Flowers-102 (Nilsback and Zisserman, 2008): 2,040 of train and val, 6,149 of test."""

    name = "flowers"

    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: D102
        train, val, test = (datasets.Flowers102(root, part, download=download) for part in ("train", "val", "test"))
        return [train, val], [test]


class Pets(TorchvisionData):
    """Oxford-IIIT Pets, 37 breeds (Parkhi et al., 2012): 3,680 of trainval, 3,669 of test."""

    name = "pets"

    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: D102
        train, test = (datasets.OxfordIIITPet(root, part, download=download) for part in ("trainval", "test"))
        return [train], [test]


class Food101(TorchvisionData):
    """Food-101 (Bossard et al., 2014): 75,750 + 25,250."""

    name = "food101"

    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: D102
        train, test = (datasets.Food101(root, part, download=download) for part in ("train", "test"))
        return [train], [test]


class SUN397(TorchvisionData):
    """SUN397 scenes (Xiao et al., 2010): a fixed random 50 + 50 of each class.

    The published partitions have these sizes too, but are not in torchvision's archive.
    """

    name = "sun397"

    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: D102
        return _split(datasets.SUN397(root, download=download), train=50, test=50)


class CIFAR100(TorchvisionData):
    """CIFAR-100 (Krizhevsky, 2009): 50,000 + 10,000."""

    name = "cifar100"

    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: D102
        train, test = (datasets.CIFAR100(root, train=train, download=download) for train in (True, False))
        return [train], [test]


class SVHN(TorchvisionData):
    """Street View House Numbers, cropped digits (Netzer et al., 2011): 73,257 + 26,032."""

    name = "svhn"

    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: D102
        train, test = (datasets.SVHN(root, part, download=download) for part in ("train", "test"))
        return [train], [test]


class STL10(TorchvisionData):
    """STL-10 (Coates et al., 2011): 5,000 + 8,000."""

    name = "stl10"

    def open(self, root: Path, download: bool) -> tuple[Sequence[Any], Sequence[Any]]:  # noqa: D102
        train, test = (datasets.STL10(root, part, download=download) for part in ("train", "test"))
        return [train], [test]
