"""What a step of an arm is made of: the compiled forward pass, parts of a batch, and the optimiser."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from phis_lab.bounds import Above, AtLeastZero, NonNegative, Share, SmallShare, Supplied
from phis_lab.features import Features

Forward = Callable[[Tensor, int, Collection[str] | None], tuple[Features, dict[str, Features]]]
"""(images, image size, teachers) -> tokens and predictions."""

SMALLEST_SCALE = 2.0**-10
"""Of a float16 loss: no gradient that is worth a step overflows below."""


def in_parts(predict: Callable[[Tensor], dict[str, Features]], images: Tensor, most: int | None) -> dict[str, Features]:
    """Predictions of a batch, of which the activations of so many images at a time are kept.

    Each part is computed a second time when its gradient is wanted, with the same random numbers.

    Args:
        predict: images to predictions by teacher.
        images: of the batch.
        most: images of a part; None keeps all activations.
    """
    if most is None or len(images) <= most:
        return predict(images)
    with set_checkpoint_early_stop(False):  # torch leaves early by an exception, which would be taken for a part's
        parts = [checkpoint(predict, part, use_reentrant=False) for part in images.split(most)]
    return {name: _concatenated([part[name] for part in parts]) for name in parts[0]}


def _concatenated(parts: Sequence[Features]) -> Features:
    return Features(*(None if tensors[0] is None else torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def scaler_for(low_precision: torch.dtype | None) -> GradScaler:
    """Keeps gradients from vanishing in float16; in other precisions it does nothing."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return GradScaler(device, enabled=low_precision is torch.float16)


class OptimizerRecipe:
    """How one arm is optimised: linear warm-up to `lr`, then half a cosine down to `lr * final`.

    Args:
        optimizer: constructor of a torch optimiser, called with parameter groups and `lr`.
        lr: peak learning rate.
        weight_decay: applied to matrices; biases and norms have none.
        warmup: share of the run over which the rate rises from zero.
        final: the last rate as a share of `lr`.
        clip: largest norm of an arm's gradient; None leaves it alone.
        frozen_body_steps: first steps in which only the heads learn (PHI-S, table 10: 5,000, while the targets still
            move because their statistics are being refined); a student without heads does not wait.
        decay_embeddings: apply the weight decay to class tokens, registers and position embeddings too, as UNIC does.
    """

    def __init__(
        self,
        optimizer: Annotated[Callable[..., Optimizer], Supplied("params", "lr", "weight_decay")],
        lr: Above,
        weight_decay: AtLeastZero = 0.0,
        warmup: SmallShare = 0.05,
        final: Share = 0.0,
        clip: Above | None = None,
        frozen_body_steps: NonNegative = 0,
        decay_embeddings: bool = False,
    ) -> None:
        self.constructor, self.lr, self.weight_decay = optimizer, lr, weight_decay
        self.decay_embeddings = decay_embeddings
        self.warmup, self.final, self.clip = warmup, final, clip
        self.frozen_body_steps = frozen_body_steps

    def check(self, steps: int) -> None:
        """Raise ValueError where the body would stay frozen throughout a stage of so many steps."""
        if self.frozen_body_steps >= steps:
            raise ValueError(
                f"optimizer.frozen_body_steps={self.frozen_body_steps} counts in every stage, and one has {steps} "
                "steps for students (without those that only gather statistics): the body would never learn; lower "
                "one of both, or raise trainer.max_steps"
            )

    def build(self, module: nn.Module) -> Optimizer:
        """The optimiser over a module's trainable parameters."""
        decayed: list[nn.Parameter] = []
        free: list[nn.Parameter] = []
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                (decayed if self._decays(name, parameter) else free).append(parameter)
        groups = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": free, "weight_decay": 0.0}]
        return self.constructor(groups, lr=self.lr)

    def _decays(self, name: str, parameter: nn.Parameter) -> bool:
        if name.endswith(("_token", "positions.embedding")):
            return self.decay_embeddings
        return parameter.ndim > 1

    def set_rate(self, optimizer: Optimizer, step: int, max_steps: int) -> float:
        """Set and return the learning rate of a step; it depends on nothing but the step."""
        rate = self.lr * self._factor(step, max_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _factor(self, step: int, max_steps: int) -> float:
        warm = round(self.warmup * max_steps)
        if step < warm:
            return (step + 1) / warm
        progress = (step - warm) / max(1, max_steps - warm)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))
