"""Maps that can be undone: `elementwise` and `matrix` hold the two ways to compute them."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from phis_lab.normalizers.feature_map import FeatureMap
from phis_lab.shapes import Float


class Normalizer(FeatureMap):
    """An invertible affine map y = W (x - shift) whose W and shift are solved from a teacher's moments.

    A student trained on y still predicts the teacher: `inverse` maps its output back, and `fold_into` moves
    that map into the last linear layer, so it costs nothing at inference (PHI-S, eq. 39-50).
    """

    @abstractmethod
    def unscale(self, y: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """The inverse without its shift, in float64."""

    @abstractmethod
    def inverse(self, y: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """Maps predictions of normalised features back to the teacher's own space."""

    @abstractmethod
    def affine(self) -> tuple[Float[Tensor, "dim dim"], Float[Tensor, "dim"]]:
        """(W, shift) of y = W (x - shift), in the module's precision."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def fold_into(self, linear: nn.Linear) -> nn.Linear:
        """A new layer whose output is inverse(linear(z)), with a bias whether or not `linear` has one.

        It is trainable if `linear` is, and making it draws no random numbers.

        Args:
            linear: the last layer of a head. Its outputs may be several replicas of the channels, one after
                the other, as in heads that upsample; each replica is mapped by itself.

        Raises:
            ValueError: the number of outputs is not a multiple of `dim`.

        Source:
            PHI-S, A.6: W = Theta W', b = Theta b' + mu.
        """
        self.require_fitted()
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"a normaliser folds into a torch.nn.Linear, got {type(linear).__name__}")
        outputs, inputs = linear.weight.shape
        if outputs % self.dim:
            raise ValueError(f"the layer must have {self.dim} outputs, or several times as many, got {outputs}")
        device = self.shift.device
        weight = linear.weight.to(device, torch.float64).reshape(-1, self.dim, inputs).mT
        bias = weight.new_zeros(outputs) if linear.bias is None else linear.bias.to(weight)
        folded: nn.Linear = nn.utils.skip_init(
            nn.Linear, inputs, outputs, device=linear.weight.device, dtype=linear.weight.dtype
        )
        folded.weight.copy_(self.unscale(weight).mT.reshape(outputs, inputs))
        folded.bias.copy_((self.unscale(bias.reshape(-1, self.dim)) + self.shift).flatten())
        folded.requires_grad_(linear.weight.requires_grad)
        return folded
