"""CIFAR-10: 50,000 + 10,000 colour images of 32 x 32 in ten classes (Krizhevsky, 2009)."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision

from phis_lab.data.datasource import DataSource
from phis_lab.data.download import appearing_folder, fetching
from phis_lab.data.source import TensorImages
from phis_lab.folders import cache_folder

_FOLDER = "cifar-10-batches-py"


@dataclass(frozen=True, kw_only=True)
class CIFAR10(DataSource):
    """CIFAR-10 as torchvision keeps it, downloaded on first use; torchvision checks every file's md5.

    Attributes:
        root: folder that holds or receives `cifar-10-batches-py`; None is a folder of the cache.
    """

    root: str | None = None

    def read(self) -> tuple[TensorImages, TensorImages]:
        """Returns the train and the test images.

        Raises:
            ValueError: the files are damaged, or neither at `root` nor can they be downloaded.
        """
        root = Path(self.root).expanduser() if self.root else cache_folder("data") / "cifar10"
        try:
            if not (root / _FOLDER).is_dir():
                with fetching(), appearing_folder(root / _FOLDER) as folder:
                    torchvision.datasets.CIFAR10(folder.parent, download=True)
            halves = [torchvision.datasets.CIFAR10(root, train=train) for train in (True, False)]
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"CIFAR-10 is not whole in {root / _FOLDER} and was not downloaded ({error}); delete that folder to "
                f"fetch it again, set data.root to one that holds {_FOLDER}, or choose data=fashion_mnist"
            ) from error
        train, test = (
            TensorImages(
                f"cifar10/{split}",
                torch.from_numpy(half.data).permute(0, 3, 1, 2).contiguous(),
                torch.tensor(half.targets),
                half.classes,
            )
            for split, half in zip(("train", "test"), halves, strict=True)
        )
        return train, test
