"""Predictions and targets on one grid, of the tokens that student and teacher both saw."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_arms import make_arm, make_group
from torch.testing import assert_close

from phis_lab.config.assemble import refuse_shift
from phis_lab.config.teachers import TeacherOptions
from phis_lab.data import ONE_STAGE, Augmentation
from phis_lab.engine import View, train_group
from phis_lab.engine.stages import Shifts, crop
from phis_lab.engine.views import common
from phis_lab.features import Features, match_grid
from phis_lab.runs import read_record
from phis_lab.students import ViT

PATCH, SIDE = 4, 24


def tokens(images: torch.Tensor) -> torch.Tensor:
    """What a student that copies its patches would say, channels last."""
    patches = images.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
    return patches.permute(0, 2, 3, 1, 4, 5).flatten(3)


@given(seed=st.integers(0, 1000), step=st.integers(0, 1000), cells=st.integers(1, 4))
def test_shifted_crops_agree_where_they_overlap(seed: int, step: int, cells: int) -> None:
    images = torch.rand(2, 3, SIDE + cells * PATCH, SIDE + cells * PATCH, generator=torch.Generator().manual_seed(seed))
    shifts = Shifts.draw(seed, step, cells * PATCH, PATCH)
    student, teacher = (tokens(crop(images, corner, SIDE)) for corner in shifts)
    view = View(images, {"t": Features(None, teacher)}, shift=shifts.tokens(PATCH))
    pair = common({"t": Features(None, student)}, view)
    rows, columns = (SIDE // PATCH - abs(tokens) for tokens in view.shift)
    assert pair.targets["t"].spatial.shape[1:3] == (rows, columns)
    assert_close(pair.predictions["t"].spatial, pair.targets["t"].spatial)


def test_shifts_are_whole_patches_up_to_the_largest_and_reach_all_of_them() -> None:
    drawn = [Shifts.draw(0, step, 8, 4) for step in range(200)]
    assert {place for shifts in drawn for corner in shifts for place in corner} == {0, 4, 8}
    assert drawn[3] == Shifts.draw(0, 3, 8, 4)
    assert any(shifts.students != shifts.teachers for shifts in drawn)


def test_predictions_follow_targets_to_a_finer_grid() -> None:
    said, wanted = torch.rand(2, 2, 2, 5), torch.rand(2, 4, 4, 5)
    view = View(torch.empty(0), {"t": Features(None, wanted)})
    pair = common({"t": Features(None, said)}, view)
    assert_close(pair.predictions["t"].spatial, match_grid(said, (4, 4)))
    assert pair.targets["t"].spatial is wanted


def test_a_run_with_shifted_crops_trains(tmp_path: Path) -> None:
    for shift in (0, 8):
        train_group(make_group(tmp_path / str(shift), {"phis": make_arm}, shift=shift))
    still, shifted = (read_record(tmp_path / where / "phis" / "result.json") for where in ("0", "8"))
    assert shifted.status == "complete"
    fidelity = [record.teacher_metrics["loud"]["spatial"]["fidelity"] for record in (still, shifted)]
    assert fidelity[0] != fidelity[1]
    assert min(fidelity) > 0.3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"shift": 12}, "must be a multiple of the students' patch, which is \\[8\\]"),
        ({"shift": 16}, "leaves crops of 16 px nothing in common"),
        ({"shift": 8, "image_size": 20}, "wants images of the students' own sizes, and those of 20 px become 16"),
    ],
)
def test_a_shift_that_leaves_no_whole_tokens_in_common_is_refused(options: dict[str, int], says: str) -> None:
    augmentation = Augmentation(**({"image_size": 16} | options))
    backbone = ViT(image_size=16, patch_size=8, width=16, depth=1, heads=2)
    with pytest.raises(ValueError, match=says):
        refuse_shift(augmentation, ONE_STAGE, [backbone], TeacherOptions())
    with pytest.raises(ValueError, match=r"set teachers\.match=student"):
        refuse_shift(augmentation, ONE_STAGE, [backbone], TeacherOptions(match="larger"))
