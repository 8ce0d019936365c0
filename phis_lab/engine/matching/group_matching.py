"""All arms of a group beside all teachers, over the same images."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from phis_lab.engine.arm import Arm
from phis_lab.engine.matching.arm_matching import ArmMatching, MatchingScores, TargetMoments
from phis_lab.engine.views import View, common
from phis_lab.features import Features, Grid, Resize
from phis_lab.shapes import Float


class GroupMatching:
    """Streaming comparison of arms with teachers, at one image size; what depends on teachers alone is kept once.

    Args:
        arms: by key, in evaluation mode.
        teachers: with whom they are compared.
        scale: size at which the students see the images, over their own image sizes.
        full: all that `ArmMatching` describes; otherwise only what is cheap enough to repeat while training.
        resize: how predictions are resampled to a finer grid of the teachers.
    """

    def __init__(
        self,
        arms: Mapping[str, Arm],
        teachers: Collection[str],
        scale: float = 1.0,
        full: bool = True,
        resize: Resize = "antialias",
    ) -> None:
        self.arms, self.teachers, self.scale, self.resize = dict(arms), tuple(teachers), scale, resize
        self._shared = {arm.grid_at(scale): TargetMoments() for arm in self.arms.values()} if full else {}
        self._matching = {key: ArmMatching(arm, self._shared.get(arm.grid_at(scale))) for key, arm in self.arms.items()}

    @torch.no_grad()
    def update(self, images: Float[Tensor, "b 3 h w"], features: Mapping[Grid, Mapping[str, Features]]) -> None:
        """Adds a batch.

        Args:
            images: in [0, 1].
            features: what the teachers say of them, for the grid of every arm.

        Raises:
            ValueError: predictions or features hold NaN or inf.
        """
        for grid, shared in self._shared.items():
            shared.update(self._chosen(features[grid]))
        for key, arm in self.arms.items():
            view = View(images, self._chosen(features[arm.grid_at(self.scale)]), self.scale, resize=self.resize)
            tokens, predictions = arm.predict(images, self.scale, self.teachers)
            self._matching[key].update(tokens, *common(predictions, view))

    def compute(self) -> dict[str, MatchingScores]:
        """Returns the scores of every arm over all images."""
        return {key: matching.compute() for key, matching in self._matching.items()}

    def _chosen(self, features: Mapping[str, Features]) -> dict[str, Features]:
        return {teacher: features[teacher] for teacher in self.teachers}
