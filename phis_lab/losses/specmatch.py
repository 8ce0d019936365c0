"""SpecMatch's spectral weighting: every principal component pulls by a power of its own error."""

from torch import Tensor

from phis_lab import processes
from phis_lab.losses.functional import aligned
from phis_lab.losses.modules import Loss
from phis_lab.shapes import Float


def specmatch(
    pred: Float[Tensor, "batch *tokens channels"],
    target: Float[Tensor, "..."],
    power: float = 1 / 3,
    epsilon: float = 1e-6,
) -> Float[Tensor, " batch"]:
    """The mean over components k of (e_k + epsilon)^power, with e_k the error of the whole batch along k.

    e_k is the mean of (x_k - y_k)^2 over images, tokens and processes. The power falls between two extremes:
    at 1 this is `mse` (plus epsilon), which the first components rule; towards 0 all components weigh alike, as
    under whitening. The power of a mean has no value per image, so each image gets the tangent at the batch's
    error, (e_k + epsilon)^power + power (e_k + epsilon)^(power - 1) (e_k,image - e_k), averaged over k. Its mean
    over images has the value and the gradient of the formula exactly, and none is negative.

    Args:
        pred: what the student predicts, one principal component of the teacher per channel.
        target: of the same shape.
        power: the paper's beta.
        epsilon: bounds the pull of a component without error; in squared units of the target.

    Raises:
        ValueError: the shapes differ.

    Source:
        Saito and Ushiku, "The devil is in the spectrum bias" (SpecMatch), with its sum over components and
        beta = 1/3. The mean in place of the sum, so that wide teachers weigh as much as narrow ones, and the
        value of epsilon are ours.

    Example:
        >>> import torch
        >>> specmatch(torch.zeros(1, 2), torch.tensor([[1.0, 8.0]]), epsilon=0.0).tolist()
        [2.5]
    """
    pred, target = aligned(pred, target)
    errors = (pred - target).square().reshape(len(pred), -1, pred.shape[-1]).mean(dim=1) + epsilon
    error = processes.average(errors.detach().mean(dim=0))
    return (error.pow(power) + power * error.pow(power - 1) * (errors - error)).mean(dim=1)


class SpecMatch(Loss):
    """Spatial features by SpecMatch: between MSE, which large components rule, and whitening.

    Its channels must be the teacher's principal components, which `normalizer=pca_scale` makes them; under
    another normaliser it weighs that one's channels. The paper's static variant, weights (l_k + epsilon)^(power - 1)
    from the teacher's eigenvalues l_k, is `normalizer=partial_whiten` with gamma = 1 - power under MSE.

    Args:
        power: exponent of each component's error, the paper's beta, in (0, 1].
        epsilon: bounds the pull of a component without error; in squared units of the target.

    Raises:
        ValueError: `power` lies outside (0, 1] or `epsilon` is not positive.
    """

    def __init__(self, power: float = 1 / 3, epsilon: float = 1e-6) -> None:
        super().__init__()
        if not 0 < power <= 1:
            raise ValueError(f"power must lie in (0, 1], got {power}; 1 is plain MSE")
        if not epsilon > 0:
            raise ValueError(
                f"epsilon must be positive, got {epsilon}; without it a perfect component pulls infinitely"
            )
        self.power, self.epsilon = power, epsilon

    def spatial(self, pred: Tensor, target: Tensor) -> Tensor:
        """See `specmatch`."""
        return specmatch(pred, target, self.power, self.epsilon)
