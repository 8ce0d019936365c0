"""A loss of your own: one value per image and kind of feature, which the balancer weighs."""

from torch import Tensor

from phis_lab.losses import Loss


class Charbonnier(Loss):
    """A smooth absolute error, sqrt(d^2 + epsilon^2) - epsilon, for patches; summaries keep the cosine.

    Args:
        epsilon: below it errors count by their square.
    """

    def __init__(self, epsilon: float = 1.0) -> None:
        super().__init__()
        self.epsilon = epsilon

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compares patches [batch, h, w, channels]; one value per image."""
        errors = ((pred - target).square() + self.epsilon**2).sqrt() - self.epsilon
        return errors.flatten(1).mean(dim=1)
