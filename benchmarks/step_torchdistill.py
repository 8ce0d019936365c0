"""One step with a single teacher against torchdistill's `DistillationBox`: same modules, batches and optimiser."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness import Comparison, Seconds, in_turns, peer_module
from benchmarks.limits import matrix_limit
from benchmarks.parts import FrozenEstimation, arm_of, run_of
from benchmarks.pocket import PARTITION, Training, pocket_group, restart, snapshot, steady
from phis_lab.engine import Arm, FeatureProvider
from phis_lab.features import match_grid
from phis_lab.normalizers import Identity
from phis_lab.students import ViT
from phis_lab.teachers import Teacher, TeacherPool

STEPS, TEACHER = 8, "ppocr"


def compare() -> Iterator[Comparison]:
    """Time a few steps in float32, the precision that both know on a CPU."""
    peer_module("torchdistill")
    group = pocket_group([[]], STEPS, ["trainer.precision=float32", "trainer.teacher_precision=float32"])
    pool = TeacherPool({TEACHER: group.stages[0].main.train.pool.teachers[TEACHER]}, precision="float32")
    arm = arm_of(pool, ViT(), Identity)
    provider = FeatureProvider(pool, [arm.grid_at()], 1, None, 0.0)
    batches = group.data.train_dataloader
    ours = Training([run_of(arm)], batches, provider, FrozenEstimation(), STEPS)
    peer = Box(arm, pool.teachers[TEACHER], batches)
    ours()
    peer()
    difference = max(abs(a / b - 1) for a, b in zip(ours.losses["arm"], peer.losses, strict=True))
    assert difference < 1e-4, f"losses differ by {difference} of their size"
    check = f"losses of {STEPS} steps agree to {difference:.0e} of their size"
    name = f"`Distiller`, one teacher ({TEACHER}), float32"
    row = Comparison("step", name, "torchdistill, same modules and batches", "at most 1.05", check)
    in_turns(row, ours, peer)
    row.limit = matrix_limit(ours, STEPS, row.fastest / (STEPS - 1), None)
    yield row


class Box:
    """torchdistill's loop over its box, as its examples write it.

    Args:
        arm: its student and its rate are used.
        teacher: the frozen network.
        batches: makes the batches, one pass a run.
    """

    def __init__(self, arm: Arm, teacher: Teacher, batches: Callable[[], Any]) -> None:
        self.arm, self.teacher, self.batches, self.start = arm, teacher, batches, snapshot(arm)
        self.losses: Sequence[float] = []
        logging.getLogger("torchdistill").setLevel(logging.WARNING)

    def __call__(self) -> Seconds:
        """Train once; the seconds from the end of the first step to the end of the last."""
        restart(self.arm, self.start)
        box = peer_module("torchdistill.core.distillation").get_distillation_box(
            _OnGrid(self.teacher, self.arm.grid_at()),
            self.arm.student,
            {},
            _configuration(self.arm.recipe.lr),
            torch.device("cpu"),
            None,
            False,
            1,
        )
        losses, ends = [], []
        box.pre_epoch_process(epoch=0)
        for batches in self.batches():
            batch = batches[PARTITION]
            box.pre_forward_process()
            loss = box.forward_process(batch.images, None, None)
            box.post_forward_process(loss=loss)
            losses.append(loss.item())
            ends.append(time.perf_counter())
        box.post_epoch_process()
        box.clean_modules()
        self.teacher.requires_grad_(False)  # which that cleaning turns on again
        self.losses = losses
        return steady(ends)


class _OnGrid(nn.Module):
    """The teacher's spatial features, on the student's tokens."""

    def __init__(self, teacher: Teacher, grid: tuple[int, int]) -> None:
        super().__init__()
        self.teacher, self.grid = teacher, grid

    def forward(self, images: Tensor) -> Tensor:
        return match_grid(self.teacher(images).spatial, self.grid)


def _configuration(lr: float) -> dict[str, Any]:
    head = f"spatial_heads.{TEACHER}"
    ends = {
        "input": {"is_from_teacher": False, "module_path": head, "io": "output"},
        "target": {"is_from_teacher": True, "module_path": ".", "io": "output"},
    }
    term = {
        "criterion": {"key": "MSELoss", "kwargs": {}},
        "criterion_wrapper": {"key": "SimpleLossWrapper", "kwargs": ends},
        "weight": 1.0,
    }
    forward = {"forward_proc": "forward_batch_only"}
    return {
        "num_epochs": 1,
        "teacher": forward | {"requires_grad": False},
        "student": forward | {"requires_grad": True, "forward_hook": {"input": [], "output": [head]}},
        "optimizer": {"key": "AdamW", "kwargs": {"lr": lr, "weight_decay": 0.0, "fused": True}},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"spatial": term}}},
    }
