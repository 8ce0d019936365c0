"""One arm: a student with its heads, normalisers, loss, balancer, optimiser and random streams."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from phis_lab.distill.gradients import average, average_gradients
from phis_lab.distill.optimizer import OptimizerRecipe
from phis_lab.distill.streams import RandomStream
from phis_lab.losses import Balancer, Loss
from phis_lab.normalizers import Normalizer
from phis_lab.shapes import Float
from phis_lab.students import Student
from phis_lab.teachers import Features


class StepResult(NamedTuple):
    """What one optimisation step of one arm gave; logging is the caller's business."""

    loss: float
    rows: dict[str, float]  # "<teacher>/<term>" -> mean over images, in the normalised space
    lr: float


class DivergedError(ValueError):
    """An arm's loss is no longer finite."""


class Arm(nn.Module):
    """Everything that a method chooses, trained on features that all arms share.

    Args:
        student: backbone with one head per teacher and kind of token.
        normalizers: one per teacher, for its spatial features; summaries are never normalised.
        loss: gives one row per teacher and kind.
        balancer: weighs the rows.
        recipe: optimiser and schedule.
        stream: random numbers of this arm alone.
        low_precision: dtype of the student's matrix products; None for float32.
    """

    def __init__(
        self,
        student: Student,
        normalizers: Mapping[str, Normalizer],
        loss: Loss,
        balancer: Balancer,
        recipe: OptimizerRecipe,
        stream: RandomStream,
        low_precision: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self.normalizers = nn.ModuleDict(normalizers)
        self.loss, self.balancer = loss, balancer
        self.recipe, self.stream, self.low_precision = recipe, stream, low_precision
        self.optimizer = recipe.build(student)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the student's tokens."""
        return self.student.backbone.grid

    def predict(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Features, dict[str, Features]]:
        """Student tokens, and per teacher what the heads say in the normalised space, in float32."""
        with torch.autocast(images.device.type, self.low_precision, enabled=self.low_precision is not None):
            tokens, predictions = self.student(images)
        return _float(tokens), {name: _float(prediction) for name, prediction in predictions.items()}

    def step(
        self, images: Float[Tensor, "b 3 h w"], features: Mapping[str, Features], step: int, max_steps: int
    ) -> StepResult:
        """One optimisation step.

        Raises:
            DivergedError: the loss is not finite; the student is left as it was.
        """
        with self.stream.active():
            rows = self._rows(self.predict(images)[1], features)
            loss = self.balancer(torch.stack(list(rows.values())))
        means = average(torch.stack([loss.detach(), *(row.detach().mean() for row in rows.values())])).tolist()
        if not all(map(torch.isfinite, torch.tensor(means))):
            named = {name: round(value, 4) for name, value in zip(rows, means[1:], strict=True)}
            raise DivergedError(f"the loss is not finite at step {step}: {named}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.student.parameters())
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.clip)
        lr = self.recipe.set_rate(self.optimizer, step, max_steps)
        self.optimizer.step()
        return StepResult(means[0], dict(zip(rows, means[1:], strict=True)), lr)

    def _rows(self, predictions: Mapping[str, Features], features: Mapping[str, Features]) -> dict[str, Tensor]:
        rows: dict[str, Tensor] = {}
        for teacher, target in features.items():
            spatial = None if target.spatial is None else self.normalizers[teacher](target.spatial)
            terms = self.loss(predictions[teacher].summary, predictions[teacher].spatial, target.summary, spatial)
            rows |= {f"{teacher}/{kind}": term for kind, term in terms.items()}
        return rows

    def in_teacher_space(self, teacher: str, prediction: Features) -> Features:
        """A prediction with the normaliser undone: comparable between methods."""
        spatial = prediction.spatial
        return Features(prediction.summary, None if spatial is None else self.normalizers[teacher].inverse(spatial))  # type: ignore[operator]

    def training_state(self) -> dict[str, Any]:
        """All that a resumed arm needs to go on as if it had never stopped."""
        return {
            "modules": self.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "stream": self.stream.state_dict(),
        }

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of `training_state`."""
        self.load_state_dict(state["modules"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.stream.load_state_dict(state["stream"])


def _float(features: Features) -> Features:
    return Features(*(None if tensor is None else tensor.float() for tensor in features))
