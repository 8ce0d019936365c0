"""One arm: a student with its heads, normalisers, loss, balancer, optimiser and random streams."""

import copy
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from phis_lab.distill.compiled import Forward, compile_forward
from phis_lab.distill.gradients import average_gradients
from phis_lab.distill.optimizer import OptimizerRecipe
from phis_lab.distill.streams import RandomStream
from phis_lab.linalg import Moments
from phis_lab.linalg.processes import average
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
    predictions: dict[str, Features]  # in the normalised space, from which the loss was computed


class ArmFailedError(ValueError):
    """One arm cannot go on; the others can."""


class Arm(nn.Module):
    """Everything that a method chooses, trained on features that all arms share.

    Args:
        student: backbone with one head per teacher and kind of token.
        normalizers: one per teacher, for its spatial features; summaries are never normalised.
        loss: gives one row per teacher and kind; every teacher has its own copy.
        balancer: weighs the rows.
        recipe: optimiser and schedule.
        stream: random numbers of this arm alone.
        low_precision: dtype of the student's matrix products; None for float32.
        compiled: steps, not evaluations, run the student through torch.compile.
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
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.student = student
        self.normalizers = nn.ModuleDict(normalizers)
        self.losses = nn.ModuleDict({teacher: copy.deepcopy(loss) for teacher in student.teachers})
        self.balancer = balancer
        self.recipe, self.stream, self.low_precision = recipe, stream, low_precision
        self.optimizer = recipe.build(student)
        self._forward: Forward = compile_forward(student) if compiled else student.__call__

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the student's tokens."""
        return self.student.backbone.grid

    def predict(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Features, dict[str, Features]]:
        """Student tokens, and per teacher what the heads say in the normalised space, in float32."""
        return self._predict(self.student, images)

    def _predict(self, forward: Forward, images: Tensor) -> tuple[Features, dict[str, Features]]:
        with torch.autocast(images.device.type, self.low_precision, enabled=self.low_precision is not None):
            tokens, predictions = forward(images)
        return _float(tokens), {name: _float(prediction) for name, prediction in predictions.items()}

    def step(
        self, images: Float[Tensor, "b 3 h w"], features: Mapping[str, Features], step: int, max_steps: int
    ) -> StepResult:
        """One optimisation step.

        Raises:
            ArmFailedError: the loss is not finite; the student is left as it was.
        """
        self.student.backbone.requires_grad_(step >= self.recipe.frozen_body_steps)
        with self.stream.active():
            predictions = self._predict(self._forward, images)[1]
            rows = self._rows(predictions, features)
            loss = self.balancer(torch.stack(list(rows.values())))
        means = average(torch.stack([loss.detach(), *(row.detach().mean() for row in rows.values())])).tolist()
        if not all(map(math.isfinite, means)):
            named = {name: round(value, 4) for name, value in zip(rows, means[1:], strict=True)}
            raise ArmFailedError(f"the loss is not finite after {step} of its steps: {named}")
        loss.backward()
        average_gradients(self.student.parameters())
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.clip)
        lr = self.recipe.set_rate(self.optimizer, step, max_steps)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)  # so that the gradients of one arm at a time take memory
        return StepResult(means[0], dict(zip(rows, means[1:], strict=True)), lr, predictions)

    def _rows(self, predictions: Mapping[str, Features], features: Mapping[str, Features]) -> dict[str, Tensor]:
        rows: dict[str, Tensor] = {}
        for teacher, target in features.items():
            spatial = None if target.spatial is None else self.normalizers[teacher](target.spatial)
            answer, loss = predictions[teacher], self.losses[teacher]
            terms = loss(answer.summary, answer.spatial, target.summary, spatial)
            rows |= {f"{teacher}/{kind}": term for kind, term in terms.items()}
        return rows

    def fit(self, moments: Mapping[str, Moments], step: int) -> None:
        """Fit every normaliser.

        Raises:
            ArmFailedError: statistics that the method cannot use, with the teacher and the step.
        """
        for teacher, normalizer in self.normalizers.items():
            try:
                normalizer.fit(moments[teacher])  # type: ignore[operator]
            except ValueError as error:
                raise ArmFailedError(f"teacher '{teacher}', spatial features, step {step}: {error}") from error

    def release(self) -> None:
        """Free the memory that only training needs."""
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer.state.clear()

    @torch.no_grad()
    def is_finite(self, images: Float[Tensor, "b 3 h w"]) -> bool:
        """Whether all that the student says of some images is finite; a last step may have broken it."""
        tokens, predictions = self.predict(images)
        said = [tensor for features in (tokens, *predictions.values()) for tensor in features if tensor is not None]
        return all(bool(tensor.isfinite().all()) for tensor in said)

    @torch.no_grad()
    def teacher_errors(self, predictions: Mapping[str, Features], targets: Mapping[str, Features]) -> dict[str, float]:
        """Mean squared error of spatial predictions in each teacher's own space."""
        errors: dict[str, Tensor] = {}
        for teacher, target in targets.items():
            spatial = self.in_teacher_space(teacher, predictions[teacher]).spatial
            if spatial is not None and target.spatial is not None:
                errors[teacher] = (spatial - target.spatial).square().mean()
        return dict(zip(errors, average(torch.stack(list(errors.values()))).tolist(), strict=True)) if errors else {}

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
