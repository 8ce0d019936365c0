"""How often a step reads a number from its device, for which a GPU is waited for: with many arms as with one."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from small_arms import make_arm, make_group
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from phis_lab.engine import train_group
from phis_lab.engine.distiller import Distiller
from phis_lab.losses import AdaLoss
from phis_lab.normalizers import Identity, PhiS, Standardize

READS = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique_dim", "_unique2")
"""Operations whose answer a program has to wait for."""
SGD = {"optimizer": torch.optim.SGD}  # Adam's counters lie on the CPU wherever its parameters are
ARMS = {
    "phis": lambda pool: make_arm(pool, PhiS, balancer=AdaLoss(), recipe=SGD),
    "identity": lambda pool: make_arm(pool, Identity, recipe=SGD),
    "standardize": lambda pool: make_arm(pool, Standardize, recipe=SGD | {"frozen_body_steps": 3}),
}


class Reads(TorchDispatchMode):
    """Counts what a device is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in READS:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def reads_of_steps(folder: Path, arms: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often each step of a run reads."""
    counts: list[int] = []
    step, tolist = Distiller.training_step, Tensor.tolist

    def counted(module: Distiller, batch: Any, batch_idx: int) -> None:
        with Reads() as reads, pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tensor, "tolist", lambda tensor: (reads.counts.update(["tolist"]), tolist(tensor))[1])
            step(module, batch, batch_idx)
        counts.append(reads.counts.total())

    with monkeypatch.context() as patch:
        patch.setattr(Distiller, "training_step", counted)
        train_group(make_group(folder, arms))
    return counts


def test_a_step_reads_as_often_with_three_arms_as_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = reads_of_steps(tmp_path / "several", ARMS, monkeypatch)
    alone = reads_of_steps(tmp_path / "alone", {"phis": ARMS["phis"]}, monkeypatch)
    frozen = slice(6, None)  # once the statistics are
    assert set(several[frozen]) == set(alone[frozen]) == {3}  # whether images and features are sound, and the losses
