"""All teachers as one function of the images."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from toy_teacher import Toy, images

from phis_lab.features import Features
from phis_lab.guards import TeacherError
from phis_lab.precision import has_bfloat16
from phis_lab.teachers import TeacherPool, base
from phis_lab.teachers import pool as module
from phis_lab.teachers.pool import CPU_CHUNK


class Holder(nn.Module):
    """Stands for the training module: a student beside the pool."""

    def __init__(self, pool: TeacherPool) -> None:
        super().__init__()
        self.student = nn.Linear(2, 2)
        self.pool = pool


def test_a_pool_gives_each_teachers_features_whatever_the_chunks() -> None:
    teachers = {"first": Toy(), "second": Toy(with_summary=False)}
    x = images(2 * CPU_CHUNK + 3)
    pooled = TeacherPool(teachers, precision="float32")(x)
    assert list(pooled) == ["first", "second"]
    for name, teacher in teachers.items():
        alone: Features = teacher(x)
        assert_close(pooled[name].spatial, alone.spatial)
        assert (pooled[name].summary is None) == (alone.summary is None)


def test_teachers_are_never_in_a_checkpoint_and_it_loads_strictly() -> None:
    holder = Holder(TeacherPool({"toy": Toy()}))
    state = holder.state_dict()
    assert set(state) == {"student.weight", "student.bias"}
    Holder(TeacherPool({"other": Toy()})).load_state_dict(state, strict=True)
    assert TeacherPool({"toy": Toy()}).load_state_dict({}).missing_keys == []


def test_teachers_are_never_in_an_optimiser() -> None:
    pool = TeacherPool({"toy": Toy()})
    assert list(pool.parameters()) == list(pool.buffers()) == []


def test_teachers_stay_frozen_while_the_rest_trains() -> None:
    holder = Holder(TeacherPool({"toy": Toy()})).train()
    before = holder.pool(images())
    assert_close(holder.pool(images())["toy"].spatial, before["toy"].spatial, rtol=0, atol=0)
    assert not before["toy"].spatial.requires_grad


def test_teachers_follow_the_pool() -> None:
    pool = TeacherPool({"toy": Toy()}).to(torch.device("meta"))
    tensors = [*pool.teachers["toy"].parameters(), *pool.teachers["toy"].buffers()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_features_are_float32_in_every_precision() -> None:
    toy = Toy()
    exact, rounded = (TeacherPool({"toy": toy}, precision)(images()) for precision in ("float32", "bfloat16"))
    assert rounded["toy"].spatial.dtype == torch.float32
    assert not torch.equal(exact["toy"].spatial, rounded["toy"].spatial)
    assert_close(exact["toy"].spatial, rounded["toy"].spatial, rtol=0.05, atol=0.05)


def test_float32_holds_inside_a_surrounding_autocast() -> None:
    pool = TeacherPool({"toy": Toy()}, "float32")
    with torch.autocast("cpu", torch.bfloat16):
        inside = pool(images())["toy"].spatial
    assert_close(inside, pool(images())["toy"].spatial, rtol=0, atol=0)


def test_auto_avoids_bfloat16_where_a_teacher_loses_its_features() -> None:
    toy = Toy()
    toy.bfloat16_is_faithful = False
    auto, exact = (TeacherPool({"toy": toy}, precision)(images()) for precision in ("auto", "float32"))
    assert_close(auto["toy"].spatial, exact["toy"].spatial, rtol=0, atol=0)


def test_an_unknown_device_has_no_bfloat16() -> None:
    assert not has_bfloat16("meta")


def test_a_pool_describes_what_identifies_the_features() -> None:
    toy = Toy()
    assert TeacherPool({"toy": toy}, "float32").describe() == {
        "toy": {
            "source": "random initialisation",
            "sha256": toy.weights.sha256,
            "layer": "map",
            "image_size": 8,
            "pixels": toy.pixels.protocol,
            "spatial_dim": 5,
            "summary_dim": 5,
            "precision": "float32",
            "resize": "antialias",
        }
    }


def test_the_described_precision_is_that_of_the_device_and_not_of_where_the_parameters_lie(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "has_bfloat16", lambda device: device == "cuda")
    pool = TeacherPool({"toy": Toy()})
    assert [pool.describe(device)["toy"]["precision"] for device in ("cpu", "cuda")] == ["float32", "bfloat16"]


def test_a_teacher_that_knows_one_precision_computes_and_is_described_in_it() -> None:
    toy = Toy()
    toy.computes_in = "float32"
    pool = TeacherPool({"toy": toy}, "bfloat16")
    assert pool.describe("cuda")["toy"]["precision"] == "float32"
    assert_close(pool(images())["toy"].spatial, toy(images()).spatial, rtol=0, atol=0)


@pytest.mark.gpu
def test_float32_is_not_tf32_on_a_gpu() -> None:
    toy = Toy()
    on_cpu = TeacherPool({"toy": toy}, "float32")(images())["toy"].spatial
    on_gpu = TeacherPool({"toy": toy}, "float32").cuda()(images().cuda())["toy"].spatial
    assert_close(on_gpu.cpu(), on_cpu, rtol=1e-5, atol=1e-6)


def test_a_batch_is_checked_once_for_all_teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    for owner in (module, base):
        monkeypatch.setattr(owner, "check_images", checked.append)
    TeacherPool({"first": Toy(), "second": Toy()})(images(2 * CPU_CHUNK))
    assert len(checked) == 1


def test_a_pool_refuses_images_outside_zero_to_one() -> None:
    with pytest.raises(ValueError, match=r"images in \[0, 1\]"):
        TeacherPool({"toy": Toy()})(images() * 255)


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one teacher"):
        TeacherPool({})


@pytest.mark.parametrize(("grid", "fine"), [((4, 4), True), ((2, 4), True), ((5, 4), False), ((4, 8), False)])
def test_a_student_that_is_finer_than_a_teacher_is_refused_unless_allowed(grid: tuple[int, int], fine: bool) -> None:
    pool = TeacherPool({"toy": Toy()}, precision="float32")
    pool.check_grids(8, [grid], finer_students=True)
    if fine:
        pool.check_grids(8, [(1, 1), grid])
        return
    says = f"{grid[0]}x{grid[1]} tokens is finer than the 4x4 features of teacher 'toy' at 8 px"
    with pytest.raises(ValueError, match=says):
        pool.check_grids(8, [(1, 1), grid])


class Narrow(Toy):
    """Runs out of memory with more than four images at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def features(self, x: torch.Tensor) -> Features:
        self.seen.append(len(x))
        if len(x) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().features(x)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No chunks of 16."""
    monkeypatch.setattr(module, "in_chunks_of_the_cache", lambda images: False)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_teacher_that_runs_out_of_memory_takes_half_as_many_images_from_then_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    narrow, x = Narrow(), images(10)
    pool = TeacherPool({"narrow": narrow}, precision="float32")
    found = pool(x)["narrow"].spatial
    assert narrow.seen == [10, 5, 2, 2, 2, 2, 2]
    assert "Teacher narrow ran out of memory with 10 images at a time: 5 now." in caplog.text
    assert torch.equal(pool(x)["narrow"].spatial, found)
    assert narrow.seen[7:] == [2] * 5
    assert_close(found, torch.cat([narrow(image).spatial for image in x.split(1)]))


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_microbatch_is_what_a_teacher_begins_with() -> None:
    narrow = Narrow()
    TeacherPool({"narrow": narrow}, precision="float32", microbatch=3)(images(10))
    assert narrow.seen == [3, 3, 3, 1]


@pytest.mark.usefixtures("as_on_a_gpu")
def test_one_image_that_is_too_large_is_told_with_the_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(self: Toy, x: torch.Tensor) -> Features:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Toy, "features", never)
    with pytest.raises(TeacherError, match="teacher 'toy' runs out of memory with one image: CUDA out of memory"):
        TeacherPool({"toy": Toy()}, precision="float32")(images(3))


class Remembering(Toy):
    """Keeps what it made, as networks keep tables for an image size; on request it cannot run without values."""

    def __init__(self, needs_values: bool = False) -> None:
        super().__init__()
        self.needs_values, self.kept, self.passes = needs_values, [], 0

    def features(self, x: torch.Tensor) -> Features:
        self.passes += 1
        found = super().features(x)
        self.kept.append(found.spatial)
        if self.needs_values:
            assert bool(found.spatial.isfinite().all())
        return found


@pytest.mark.parametrize(("needs_values", "passes"), [(False, 0), (True, 1)])
def test_a_large_teacher_tells_its_grid_without_a_pass_where_it_can(
    needs_values: bool, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGE", 0)
    teacher = Remembering(needs_values)
    before = teacher.run(images())
    TeacherPool({"toy": teacher}).check_grids(8, [(1, 1)])
    with pytest.raises(ValueError, match="finer than"):
        TeacherPool({"toy": teacher}).check_grids(8, [(99, 99)])
    assert teacher.passes == 1 + 2 * passes
    assert all(type(tensor) is torch.Tensor for tensor in teacher.kept)
    assert_close(teacher.run(images()).spatial, before.spatial)
