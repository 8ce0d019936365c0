"""ADE20K, the scene-parsing benchmark: 20,210 + 2,000 photos with masks of 150 classes (Zhou et al., 2017)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from phis_lab.data.decoding import decode_image, opened, reading
from phis_lab.data.masks import IGNORED, Masked, MaskedData, MaskedImages
from phis_lab.data.plain_files import read_plain

_CLASSES = tuple(f"class {number}" for number in range(1, 151))


@dataclass(frozen=True, kw_only=True)
class ADE20K(MaskedData):
    """The folder `ADEChallengeData2016`: `images/training/*.jpg`, `annotations/training/*.png` and `validation`.

    Files count the classes from 1 and 0 is "other": labels are one less, and "other" is `IGNORED`, as all
    published numbers on 150 classes have it.

    Attributes:
        root: that folder.
    """

    root: str

    def read(self) -> tuple[MaskedImages, MaskedImages]:
        """Returns the images of `training` and of `validation`.

        Raises:
            ValueError: a folder holds no image, or an image has no mask.
        """
        root = Path(self.root).expanduser()
        return _ADEImages(root, "training"), _ADEImages(root, "validation")


class _ADEImages(MaskedImages):
    def __init__(self, root: Path, part: str) -> None:
        super().__init__(f"ade20k/{part}", _CLASSES)
        self.files = sorted((root / "images" / part).glob("*.jpg"))
        self.masks = [root / "annotations" / part / f"{file.stem}.png" for file in self.files]
        if not self.files:
            raise ValueError(f"{root / 'images' / part} holds no .jpg; root is the folder ADEChallengeData2016")
        missing = [mask.name for mask in self.masks if not mask.is_file()]
        if missing:
            raise ValueError(
                f"{root / 'annotations' / part} lacks the masks of {len(missing)} of {len(self.files)} images, "
                f"the first is {missing[0]}; unpack the archive again"
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Masked:
        file, mask = self.files[index], self.masks[index]
        with reading(str(file)):
            content = read_plain(file)
        with reading(str(mask)):
            marks = read_plain(mask)
        image = decode_image(content, str(file))
        with opened(marks, str(mask)) as picture:
            numbers = torch.from_numpy(np.array(picture))
        return Masked(image, torch.where(numbers == 0, IGNORED, numbers - 1))
