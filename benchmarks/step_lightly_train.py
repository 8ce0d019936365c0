"""One step with a single teacher against lightly-train's distillation, at equal sizes.

The same images from the same files, the same crops and flips by each one's own code, student, teacher architecture
(random weights on both sides: no download), linear head, batch, optimiser and precision. Each computes its own loss.
lightly-train is an AGPL program that is run as a peer through its documented functions.
"""

import contextlib
import io
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.harness import Comparison, Seconds, in_turns, peer_module
from benchmarks.limits import matrix_limit
from benchmarks.parts import FrozenEstimation, arm_of, run_of
from benchmarks.pocket import BATCH, Training, steady
from phis_lab.data import Augmentation, DataModule
from phis_lab.data.image_folder import ImageFolder
from phis_lab.engine import FeatureProvider
from phis_lab.normalizers import Identity
from phis_lab.students import ViT
from phis_lab.teachers import TeacherPool
from phis_lab.teachers.timm import TimmTeacher

STEPS, SIDE, PATCH, SCALE = 8, 56, 14, (0.4, 1.0)
OURS, PEER = "vit_small_patch14_reg4_dinov2", "dinov2/vits14-notpretrained"


def compare() -> Iterator[Comparison]:
    """Time a few steps in float32."""
    peer_module("lightly_train")
    with tempfile.TemporaryDirectory() as folder:
        _write_images(Path(folder))
        peer = LightlyTrain(Path(folder))
        ours = _ours(Path(folder))
        peer()
        teacher = sum(p.numel() for p in ours.provider.pool.teachers["vits14"].parameters())
        student = sum(p.numel() for p in ours.runs[0].arm.student.backbone.parameters())
        assert student == sum(p.numel() for p in peer.student.parameters())
        assert peer.has_learned(), "the peer's student did not change, or is not finite"
        check = (
            f"equal sizes, each with its own loss: student {student / 1e6:.1f} M, teacher {teacher / 1e6:.1f} M "
            f"parameters, {BATCH} images of {SIDE} pixels a step"
        )
        name = "`Distiller`, one teacher (random ViT-S/14 with registers), float32"
        row = in_turns(Comparison("step", name, "lightly-train `distillationv2`", "at most 1.05", check), ours, peer)
        row.limit = matrix_limit(ours, STEPS, row.fastest / (STEPS - 1), None)
        row.peak_mb = (None, None)  # its call loads the teacher, ours does not
        yield row


def _ours(folder: Path) -> Training:
    source = ImageFolder(root=str(folder), batch_size=BATCH)
    data = DataModule(source, Augmentation(SIDE, scale=SCALE), STEPS)
    teacher = TimmTeacher("vits14", model=OURS, image_size=SIDE, weights=None, architecture={"img_size": SIDE})
    pool = TeacherPool({"vits14": teacher}, precision="float32")
    arm = arm_of(pool, ViT(SIDE, PATCH), Identity, _linear)
    provider = FeatureProvider(pool, [arm.grid_at()], 1, None, 0.0)
    return Training([run_of(arm)], data.train_dataloader, provider, FrozenEstimation(), STEPS)


def _linear(in_dim: int, out_dim: int, *, widest: int) -> nn.Module:
    return nn.Linear(in_dim, out_dim)


def _write_images(folder: Path) -> None:
    """As many images as the steps see, one colour picture of noise each; both sides decode them."""
    rng = np.random.default_rng(0)
    for split, count in (("train", STEPS * BATCH), ("test", BATCH)):
        (folder / split).mkdir()
        for number in range(count):
            pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{number:04}.png")


class LightlyTrain:
    """Runs `lightly_train.pretrain`; its student notes when each step begins.

    Args:
        folder: holds `train` with the images.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.student = ViT(SIDE, PATCH)
        self.start = {name: tensor.clone() for name, tensor in self.student.state_dict().items()}

    def __call__(self) -> Seconds:
        """Train for one epoch; the seconds from the begin of the first step to the begin of the last."""
        self.student.load_state_dict(self.start)
        model = _Documented(self.student)
        with tempfile.TemporaryDirectory() as out, _quiet(), _same_precision():
            peer_module("lightly_train").pretrain(
                out=out,
                data=str(self.folder / "train"),
                model=model,
                method="distillationv2",
                method_args={"teacher": PEER, "n_teacher_blocks": 1},
                epochs=1,
                batch_size=BATCH,
                num_workers=0,
                accelerator="cpu",
                devices=1,
                precision="32-true",
                float32_matmul_precision="highest",
                overwrite=True,
                optim="adamw",
                loggers={"tensorboard": None, "jsonl": None},
                callbacks={"model_checkpoint": None, "device_stats_monitor": None, "learning_rate_monitor": None},
                transform_args=_crop_and_flip(),
            )
        assert len(model.begins) == STEPS, f"{len(model.begins)} of {STEPS} steps"
        return steady(model.begins)

    def has_learned(self) -> bool:
        """Whether training changed the student into another finite one."""
        state = self.student.state_dict()
        finite = all(bool(tensor.isfinite().all()) for tensor in state.values())
        return finite and any(not torch.equal(tensor, self.start[name]) for name, tensor in state.items())


class _Documented(nn.Module):
    """The interface that lightly-train documents for models of one's own."""

    def __init__(self, backbone: ViT) -> None:
        super().__init__()
        self.backbone = backbone
        self.begins: list[float] = []

    def get_model(self) -> nn.Module:
        return self.backbone

    def feature_dim(self) -> int:
        return self.backbone.width

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        self.begins.append(time.perf_counter())
        tokens = self.backbone.vit.forward_features(x)
        return {"features": tokens[:, 1:].transpose(1, 2).unflatten(2, self.backbone.grid), "cls_token": tokens[:, 0]}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"pooled_features": x["features"].mean(dim=(2, 3), keepdim=True)}


def _crop_and_flip() -> dict[str, Any]:
    crop = {"min_scale": SCALE[0], "max_scale": SCALE[1]}
    off = dict.fromkeys(("color_jitter", "random_gray_scale", "gaussian_blur", "solarize"))
    return {"image_size": (SIDE, SIDE), "random_resize": crop} | off


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither bars nor logs of the peer between our rows."""
    nothing: Callable[[], io.StringIO] = io.StringIO
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(nothing()), contextlib.redirect_stderr(nothing()):
            yield
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def _same_precision() -> Iterator[None]:
    """What the peer sets for the whole process is put back."""
    before, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.set_num_threads(threads)
