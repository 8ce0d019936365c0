"""Maps that another program fitted: from the mean and the matrix that it keeps to a normaliser of ours."""

from collections.abc import Mapping

import torch
from torch import Tensor

from phis_lab.guards import require_tensors
from phis_lab.linalg import Moments
from phis_lab.normalizers.matrix import MatrixNormalizer
from phis_lab.shapes import Float

MEAN, MATRIX = "mean", "tx"
ROUNDING = 1e-6
"""How far T^-1 T may be from the identity."""


class ImportedAffine(MatrixNormalizer):
    """y = T (x - mean), both given; `affine_from_buffers` makes one.

    Args:
        dim: channels of the features.
    """

    def solve(self, moments: Moments) -> dict[str, Tensor]:
        """Raises ValueError: what was imported is not fitted."""
        del moments
        raise ValueError("an imported map keeps the statistics that it came with; fit another normaliser, such as PhiS")


@torch.no_grad()
def affine_from_buffers(mean: Float[Tensor, "dim"], tx: Float[Tensor, "dim dim"]) -> ImportedAffine:
    """The normaliser y = tx (x - mean) of two buffers, ready to use, to fold and to save.

    PHI-S standardises a student's own features by such a map (PHI-S, eq. 22-25: tx = a H U^T), and RADIO's checkpoints
    keep it as `feature_normalizer.mean` and `feature_normalizer.tx`.

    Args:
        mean: subtracted from features first.
        tx: applied to columns, so that rows of features are multiplied by its transpose.

    Raises:
        ValueError: the shapes do not belong together, a value is not finite, or the matrix has no inverse.
    """
    require_tensors(mean=mean, tx=tx)
    if mean.ndim != 1 or tx.shape != (len(mean), len(mean)) or len(mean) == 0:
        raise ValueError(
            f"mean must be [dim] and tx [dim, dim] of the same dim, got {list(mean.shape)} and {list(tx.shape)}"
        )
    shift, weight = mean.detach().cpu().double(), tx.detach().cpu().double()
    if not (shift.isfinite().all() and weight.isfinite().all()):
        raise ValueError("mean and tx must be finite, got NaN or infinity")
    inverse, failed = torch.linalg.inv_ex(weight)
    identity = torch.eye(len(weight), dtype=torch.float64)
    if failed or not bool((inverse @ weight - identity).abs().max() <= ROUNDING):
        raise ValueError("tx has no inverse, so the features that it maps cannot be brought back")
    made = ImportedAffine(len(mean))
    made.load_state_dict({"fitted": torch.tensor(True), "shift": shift, "weight": weight, "inverse_weight": inverse})
    return made


def affine_from_state_dict(state: Mapping[str, Tensor]) -> dict[str, ImportedAffine]:
    """Every pair `PREFIX.mean`, `PREFIX.tx` of a checkpoint's state, by its prefix; wrappers may precede it.

    Raises:
        ValueError: there is none, or a pair is not of one map.
    """
    prefixes = [name.rpartition(".")[0] for name in state if name.rpartition(".")[2] == MATRIX]
    pairs = {prefix: (f"{prefix}.{MEAN}".lstrip("."), f"{prefix}.{MATRIX}".lstrip(".")) for prefix in prefixes}
    found = {prefix: names for prefix, names in pairs.items() if names[0] in state}
    if not found:
        raise ValueError(
            f"no pair of NAME.{MEAN} and NAME.{MATRIX} among {len(state)} tensors; give the state of a model whose "
            "features are standardised"
        )
    return {prefix: affine_from_buffers(state[mean], state[matrix]) for prefix, (mean, matrix) in found.items()}
