"""An image's features do not depend, bit for bit on a CPU, on which images it is computed with."""

import pytest
import torch
from test_teacher_sets import build, options
from torch import Tensor
from torch.nn.functional import interpolate
from toy_teacher import Toy, images

from phis_lab.features import Features
from phis_lab.teachers import Teacher, TeacherPool
from phis_lab.teachers.pocket import EfficientNetLite0, Hed, MobileNetV2, OpenNsfw, PPOcr, XFeat
from phis_lab.teachers.pool import CPU_CHUNK, whole_chunks

SIZES = {EfficientNetLite0: 128, MobileNetV2: 128, PPOcr: 64, XFeat: 96, OpenNsfw: 64, Hed: 32}
SMALLEST = 32  # of depthwise convolutions in bfloat16, which a CPU without such instructions takes minutes for
TEACHERS = {
    **{teacher.__name__: lambda size, teacher=teacher: teacher("t", size) for teacher in SIZES},
    **{option["name"]: lambda _, option=option: build(option) for option in options("tiny_set").values()},
}
SIZE_OF = {teacher.__name__: size for teacher, size in SIZES.items()}
COUNT = CPU_CHUNK + 5


@pytest.fixture(scope="module")
def mixed() -> Tensor:
    """Noise and smooth images, in more than one chunk."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(COUNT // 2, 3, 64, 64, generator=generator)
    smooth = torch.rand(COUNT - len(noise), 3, 5, 5, generator=generator)
    return torch.cat([interpolate(smooth, (64, 64), mode="bilinear"), noise])


CASES = [(name, "float32") for name in TEACHERS]
CASES += [pytest.param(name, "bfloat16", marks=[pytest.mark.slow] if name == "Hed" else []) for name in TEACHERS]
"""A CPU without bfloat16 instructions takes ten seconds for those of HED."""


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_features_are_those_of_the_image_alone(name: str, precision: str, mixed: Tensor) -> None:
    size = SIZE_OF.get(name, SMALLEST)
    teacher = TEACHERS[name](size if precision == "float32" else min(size, SMALLEST))
    pool = TeacherPool({"t": teacher}, precision)
    whole = pool(mixed)["t"]
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(2))
    expect_equal(pool(mixed[order])["t"], whole, order)
    for part in (torch.arange(10), torch.arange(10, COUNT), torch.tensor([0]), torch.tensor([CPU_CHUNK + 1])):
        expect_equal(pool(mixed[part])["t"], whole, part)


def expect_equal(found: Features, whole: Features, rows: Tensor) -> None:
    for one, all_of_them in zip(found, whole, strict=True):
        assert (one is None) == (all_of_them is None)
        if one is not None:
            assert torch.equal(one, all_of_them[rows])


class Watching(Toy):
    """Remembers the sizes of the batches that its network saw."""

    def features(self, x: Tensor) -> Features:
        self.seen = [*getattr(self, "seen", []), len(x)]
        return super().features(x)


@pytest.mark.parametrize(("count", "chunks"), [(1, 1), (15, 1), (16, 1), (17, 2), (32, 2), (37, 3)])
def test_every_chunk_on_a_cpu_is_whole_and_the_filling_is_dropped(count: int, chunks: int) -> None:
    teacher = Watching()
    summary, spatial = TeacherPool({"toy": teacher}, "float32")(images(count))["toy"]
    assert teacher.seen == [CPU_CHUNK] * chunks
    assert len(summary) == len(spatial) == count


def test_a_chunk_is_filled_with_the_last_image_and_an_empty_batch_with_none() -> None:
    x = images(3)
    (chunk,) = whole_chunks(x)
    assert torch.equal(chunk, x[[0, 1, *([2] * (CPU_CHUNK - 2))]])
    assert TeacherPool({"toy": Toy()})(images(0))["toy"].spatial.shape == (0, 4, 4, 5)


def test_on_other_devices_the_batch_goes_through_at_once() -> None:
    (whole,) = whole_chunks(images(37).to("meta"))
    assert len(whole) == 37


def test_teachers_of_one_image_size_and_interpolation_share_the_resizing(monkeypatch: pytest.MonkeyPatch) -> None:
    teachers: dict[str, Teacher] = {"first": Toy(), "second": Toy(with_summary=False), "third": Toy()}
    teachers["second"].pixels.interpolation = "bicubic"
    expected = {name: teacher(images(4, size=11)).spatial for name, teacher in teachers.items()}
    resized = []

    def counting(*arguments: object, **options: object) -> Tensor:
        resized.append(options["mode"])
        return interpolate(*arguments, **options)

    monkeypatch.setattr("phis_lab.teachers.pixels.functional.interpolate", counting)
    pooled = TeacherPool(teachers, "float32")(images(4, size=11))
    assert sorted(resized) == ["bicubic", "bilinear"]
    assert list(pooled) == list(teachers)
    for name, features in pooled.items():
        assert torch.allclose(features.spatial, expected[name], atol=1e-6)
