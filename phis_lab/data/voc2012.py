"""Pascal VOC 2012: 1,464 + 1,449 photos with masks of 20 kinds of objects and the background (Everingham et al.)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from phis_lab.data.decoding import reading
from phis_lab.data.download import fetching
from phis_lab.data.masks import Masked, MaskedData, MaskedImages
from phis_lab.folders import cache_folder

_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
_FOLDER = Path("VOCdevkit") / "VOC2012"


@dataclass(frozen=True, kw_only=True)
class VOC2012(MaskedData):
    """The splits `train` and `val` as torchvision reads them, downloaded on first use (2 GB).

    The outlines of objects are `IGNORED`, as VOC's own evaluation does it.

    Attributes:
        root: folder that holds or receives `VOCdevkit/VOC2012`; None is a folder of the cache.
    """

    root: str | None = None

    def read(self) -> tuple[MaskedImages, MaskedImages]:
        """Returns the images of `train` and of `val`.

        Raises:
            ValueError: they are neither at `root` nor can they be downloaded.
        """
        root = Path(self.root).expanduser() if self.root else cache_folder("data") / "voc2012"
        try:
            if not (root / _FOLDER).is_dir():
                root.mkdir(parents=True, exist_ok=True)
                with fetching():
                    torchvision.datasets.VOCSegmentation(root, download=True)
            train, test = (torchvision.datasets.VOCSegmentation(root, image_set=part) for part in ("train", "val"))
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"VOC 2012 is not whole in {root / _FOLDER} and was not downloaded ({error}); set root to a folder "
                "that holds VOCdevkit/VOC2012"
            ) from error
        return _VOCImages("voc2012/train", train), _VOCImages("voc2012/val", test)


class _VOCImages(MaskedImages):
    def __init__(self, name: str, pairs: Any) -> None:
        super().__init__(name, _CLASSES)
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Masked:
        with reading(f"{self.name}[{index}]", Exception):  # decoders raise whatever a damaged file leads them to
            image, mask = self.pairs[index]
        return Masked(torch.from_numpy(np.array(image)).permute(2, 0, 1), torch.from_numpy(np.array(mask)))
