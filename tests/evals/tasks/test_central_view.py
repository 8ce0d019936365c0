"""Which central view each task shows a student, and that there is one of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_subjects import drawn_subject
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors

from phis_lab.data import Augmentation, DataSource, ImageSource, TensorImages
from phis_lab.data.masks import Masked, MaskedData, MaskedImages
from phis_lab.data.transforms import central_view
from phis_lab.evals.subject import Images, Subject, Task
from phis_lab.evals.tasks.detectors import NearestNeighbour
from phis_lab.evals.tasks.ood import OutOfDistribution
from phis_lab.evals.tasks.segmentation import Segmentation
from phis_lab.evals.tasks.shifted import ShiftedFolders
from phis_lab.evals.tasks.transfer import Transfer
from phis_lab.features import Features

SIDE = 32
PIXELS = torch.randint(0, 256, (6, 3, 48, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(7))


class Wide(DataSource):
    """Images of three classes, two of each, larger than what the student sees."""

    def read(self) -> tuple[ImageSource, ImageSource]:
        half = TensorImages("wide", PIXELS, torch.arange(6) % 3, ("a", "b", "c"))
        return half, half


class WideMasks(MaskedData):
    """The same with masks of two classes."""

    def read(self) -> tuple[MaskedImages, MaskedImages]:
        class Both(MaskedImages):
            def __len__(self) -> int:
                return len(PIXELS)

            def __getitem__(self, index: int) -> Masked:
                return Masked(PIXELS[index], (PIXELS[index, 0] > 99).to(torch.uint8))

        return Both("wide", ("dark", "bright")), Both("wide", ("dark", "bright"))


def shown(task: Task) -> set[bytes]:
    """Every image that a task shows, in bytes of its pixels."""
    seen: set[bytes] = set()
    subject = drawn_subject(side=SIDE)

    def tokens(images: Images) -> Features:
        seen.update((image * 255).round().byte().numpy().tobytes() for image in images)
        return subject.tokens(images)

    with_record: Subject = replace(subject, tokens=tokens)
    task(with_record)
    return seen


def folders(root: Path) -> Path:
    for index, image in enumerate(PIXELS):
        (root / str(index)).mkdir()
        Image.fromarray(np.asarray(image.permute(1, 2, 0))).save(root / str(index) / "x.png")
    return root


def tasks(root: Path, **options: str) -> dict[str, Task]:
    nearest = {"nearest": NearestNeighbour()}
    return {
        "transfer": Transfer({"wide": Wide()}, trials=1, max_iterations=2, **options),
        "dense": Segmentation(WideMasks(), epochs=1, **options),
        "ood": OutOfDistribution(nearest, {"wide": Wide()}, 0, train_images=12, test_images=12, **options),
        "shifted": ShiftedFolders({"r": str(root)}, str(root), k=1, train_images=12, **options),
    }


@pytest.mark.parametrize(
    ("name", "usual"), [("transfer", "bicubic"), ("dense", "bicubic"), ("ood", "bilinear"), ("shifted", "bilinear")]
)
def test_each_task_shows_the_central_view_by_its_usual_filter_or_by_the_one_that_is_named(
    name: str, usual: str, tmp_path: Path
) -> None:
    root = folders(tmp_path)
    expected: dict[str, set[bytes]] = {
        filtered: {central_view(SIDE, filtered)(image).numpy().tobytes() for image in PIXELS}
        for filtered in ("bilinear", "bicubic")
    }
    assert shown(tasks(root)[name]) >= expected[usual]
    for filtered, images in expected.items():
        seen = shown(tasks(root, interpolation=filtered)[name])
        assert seen >= images
        assert not seen & set().union(*expected.values()) - images


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_runs_own_images_have_the_same_view(interpolation: str) -> None:
    own = Augmentation(SIDE, interpolation=interpolation, central_size=40).central_view(PIXELS[0])
    torch.testing.assert_close(own, central_view(SIDE, interpolation, 40)(PIXELS[0]) / 255)


def test_a_mask_is_cut_as_its_image_and_holds_no_value_between() -> None:
    mask = (torch.arange(60) // 20 * 100).to(torch.uint8).expand(48, 60)
    image, cut = central_view(24, "bicubic")(tv_tensors.Image(mask.expand(3, -1, -1)), tv_tensors.Mask(mask))
    assert set(cut.unique().tolist()) == {0, 100, 200}
    assert (image.as_subclass(Tensor)[0].float() - cut.as_subclass(Tensor).float()).abs().median() <= 1
