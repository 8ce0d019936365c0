"""One training step of the pocket recipe, against a bare loop over the same parts, and PHI-S against no normaliser."""

import functools
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import lightning as L
import torch
from hydra import compose, initialize_config_dir
from rich.console import Console

from benchmarks.harness import Comparison, in_turns
from phis_lab.config.assemble import assemble
from phis_lab.config.job import create_job
from phis_lab.config.resolvers import register_resolvers
from phis_lab.distill import Distiller, Group, ProgressLine
from phis_lab.distill.estimation import GridFeatures, refuse_non_finite
from phis_lab.teachers import match_grid

CONF = Path(__file__).resolve().parents[1] / "conf"
STEPS, BATCH = 10, 64


def run() -> Iterator[Comparison]:
    """Time a few steps of each, data loading included."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        ours, bare = _trained_by_us("phis"), _trained_by_hand("phis")
        difference = max(abs(a - b) for a, b in zip(ours(), bare(), strict=True))
        assert difference < 1e-4, difference
        check = f"losses of {STEPS} steps agree to {difference:.0e}"
        row = Comparison(
            "step", "`Distiller` under Lightning", "a bare loop over the same parts", "at most 1.05", check
        )
        yield in_turns(row, ours, bare)
        row = Comparison(
            "step",
            "`normalizer=phis`",
            "`normalizer=identity`",
            "at most 1.02",
            "same teachers, data and student",
        )
        yield in_turns(row, _trained_by_us("phis"), _trained_by_us("identity"))


def _group(normalizer: str) -> Group:
    overrides = [
        f"normalizer={normalizer}",
        "logger=none",
        "estimation.steps=2",
        "estimation.refresh_every=1",
    ]
    overrides += [
        "estimation.warmup_steps=1",
        f"data.batch_size={BATCH}",
        f"trainer.max_steps={STEPS}",
        "data.train_images=2000",
    ]
    job = create_job(compose("config", overrides, return_hydra_config=True), tempfile.gettempdir())
    return assemble([job], {job.folder: normalizer})


def _frozen(group: Group) -> None:
    """Gather the statistics on the first batches, so that the timed steps are steady ones."""
    arm = next(iter(group.arms.values()))
    for step, batch in zip(range(2), group.data.train_dataloader(), strict=False):
        group.estimation.observe(group.provider(batch.images), step)
    for name, moments in group.estimation.moments[arm.grid].items():
        arm.normalizers[name].fit(moments)
    group.estimation.observe = _check_only  # type: ignore[method-assign]
    group.estimation.first_step = 0


def _check_only(features: GridFeatures, step: int) -> bool:
    """What a frozen estimation does at every step."""
    for by_teacher in features.values():
        refuse_non_finite(by_teacher, step)
    return False


def _trained_by_us(normalizer: str) -> Callable[[], list[float]]:
    group = _group(normalizer)
    _frozen(group)
    key, arm = next(iter(group.arms.items()))
    start = arm.training_state() | {"modules": {k: v.clone() for k, v in arm.state_dict().items()}}

    def train() -> list[float]:
        losses: list[float] = []
        arm.optimizer = arm.recipe.build(arm.student)
        arm.load_state_dict(start["modules"])
        module = Distiller({key: arm}, group.provider, group.estimation, STEPS)
        step = arm.step
        arm.step = functools.partial(_recorded, step, losses)  # type: ignore[method-assign]
        trainer = L.Trainer(
            accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, use_distributed_sampler=False, callbacks=[ProgressLine(Console())],
        )  # fmt: skip
        trainer.fit(module, group.data.train_dataloader())
        arm.step = step  # type: ignore[method-assign]
        return losses

    return train


def _recorded(step: Callable[..., object], losses: list[float], *arguments: object) -> object:
    result = step(*arguments)
    losses.append(result.loss)  # type: ignore[attr-defined]
    return result


def _trained_by_hand(normalizer: str) -> Callable[[], list[float]]:
    group = _group(normalizer)
    _frozen(group)
    arm = next(iter(group.arms.values()))
    start = {name: tensor.clone() for name, tensor in arm.state_dict().items()}
    student, pool, dtype = arm.student, group.provider.pool, group.options.low_precision

    def train() -> list[float]:
        arm.load_state_dict(start)
        optimizer = torch.optim.AdamW(student.parameters(), betas=(0.9, 0.99), fused=True)
        losses = []
        for step, batch in enumerate(group.data.train_dataloader()):
            features = pool(batch.images)
            with torch.autocast("cpu", dtype, enabled=dtype is not None):
                predictions = student(batch.images)[1]
            loss = torch.zeros(())
            for name, target in features.items():
                assert target.spatial is not None
                goal = arm.normalizers[name](match_grid(target.spatial, arm.grid))
                loss = loss + (predictions[name].spatial.float() - goal).square().mean()
                if target.summary is not None:
                    cosine = torch.nn.functional.cosine_similarity(
                        predictions[name].summary.float(), target.summary, dim=-1
                    )
                    loss = loss + (1 - cosine).mean()
            arm.recipe.set_rate(optimizer, step, STEPS)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    return train
