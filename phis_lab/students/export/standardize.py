"""PHI-S on a student's own tokens: the last layer of an export whose every channel has variance 1."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from phis_lab.features import Features
from phis_lab.linalg import Moments
from phis_lab.normalizers import PhiS
from phis_lab.shapes import Float
from phis_lab.students.backbone import Backbone
from phis_lab.students.student import Student


class TokenStandardizer(nn.Module):
    """y = a R (x - mu), written as a linear layer, for each class token and for the patch tokens.

    Each kind of token has statistics of its own, so each comes out with mean 0 and variance 1 in every channel.

    Args:
        width: channels of the tokens.
        class_tokens: how many there are.
    """

    def __init__(self, width: int, class_tokens: int) -> None:
        super().__init__()
        self.summary = nn.ModuleList(nn.Linear(width, width) for _ in range(class_tokens))
        self.spatial = nn.Linear(width, width)

    def forward(self, tokens: Features) -> Features:
        """Maps what a backbone returns."""
        classes = split_classes(tokens, len(self.summary))
        mapped = [layer(token) for layer, token in zip(self.summary, classes, strict=True)]
        return Features(torch.cat(mapped, dim=1), self.spatial(tokens.spatial))


def split_classes(tokens: Features, count: int) -> Sequence[Float[Tensor, "batch width"]]:
    """The class tokens of a backbone, which its summary holds side by side."""
    assert tokens.summary is not None
    classes: Sequence[Tensor] = tokens.summary.unflatten(1, (count, -1)).unbind(1)
    return classes


def class_tokens_of(backbone: Backbone) -> int:
    """How many class tokens a backbone has."""
    return int(backbone.vit.cls_token.shape[1])


@torch.no_grad()
def fit_standardizer(student: Student, batches: Iterable[Float[Tensor, "batch 3 height width"]]) -> TokenStandardizer:
    """Fits PHI-S on the tokens of a student in evaluation mode, in one pass.

    Args:
        student: whose backbone makes the tokens, at its own image size.
        batches: of images in [0, 1].

    Raises:
        ValueError: there are fewer than two images, or the tokens hold NaN or never vary.
    """
    backbone = student.backbone
    count = class_tokens_of(backbone)
    standardizer = TokenStandardizer(backbone.width, count)
    layers = [*standardizer.summary, standardizer.spatial]
    moments = [Moments(backbone.width) for _ in layers]
    for images in batches:
        tokens = backbone(images)
        for gathered, part in zip(moments, [*split_classes(tokens, count), tokens.spatial], strict=True):
            gathered.update(part)
    for layer, gathered in zip(layers, moments, strict=True):
        weight, shift = PhiS(backbone.width).fit(gathered).double().affine()
        layer.weight.copy_(weight)
        layer.bias.copy_(-weight @ shift)
    return standardizer.eval()
