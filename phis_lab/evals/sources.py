"""Frozen features of labelled images that an evaluation brings along."""

from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from phis_lab.data.source import ImageSource
from phis_lab.data.transforms import central_part
from phis_lab.evals.embedding import embed, source_batches
from phis_lab.evals.probes import Embeddings
from phis_lab.evals.subject import Images, Subject
from phis_lab.shapes import Float
from phis_lab.teachers import Features

Tokens = Literal["summary", "spatial", "both"]


def select(tokens: Features, which: Tokens) -> Float[Tensor, "b d"]:
    """The summary token, the mean of the spatial tokens, or both joined.

    Raises:
        ValueError: the student has no such tokens.
    """
    mean = None if tokens.spatial is None else tokens.spatial.mean(dim=(1, 2))
    wanted = {"summary": [tokens.summary], "spatial": [mean], "both": [tokens.summary, mean]}[which]
    parts = [part for part in wanted if part is not None]
    if len(parts) < len(wanted):
        raise ValueError(f"tokens={which} were asked for, which this student does not have")
    return torch.cat(parts, dim=1)


def central_view(side: int) -> v2.Compose:
    """Resizes the shorter side to `side` pixels, bicubically, masks by the nearest pixel, and crops to the centre.

    There is no wider margin that is cropped away, as ImageNet's usual protocol has one (UNIC, appendix B).
    """
    resize = v2.Resize(side, InterpolationMode.BICUBIC, antialias=True)
    return v2.Compose([v2.Lambda(central_part), resize, v2.CenterCrop(side)])


def embed_source(subject: Subject, source: ImageSource, which: Tokens, batch_size: int) -> Embeddings:
    """Features of the central views of all images of a source, in float32 on the subject's device.

    Raises:
        ValueError: the student has no such tokens, or NaN in them.
    """
    view = central_view(subject.image_size)

    def rendered(image: Tensor) -> Tensor:
        shown: Tensor = view(image)
        return shown.float() / 255

    def network(batch: Images) -> Features:
        return Features(select(subject.tokens(batch), which), None)

    return embed(network, source_batches(source, rendered, subject.device, batch_size))
