"""Frozen features of labelled images that an evaluation brings along."""

from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from phis_lab.data.source import ImageSource
from phis_lab.evals.probes import Embeddings
from phis_lab.evals.subject import Subject
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


def embed(subject: Subject, source: ImageSource, which: Tokens, batch_size: int) -> Embeddings:
    """Features of the central views of all images, in float32 on the subject's device, with their labels.

    The shorter side is resized bicubically to the student's image size, without the wider margin that ImageNet's
    protocol crops away, and the centre is kept (UNIC, appendix B).
    """
    side = subject.image_size
    central = v2.Compose([v2.Resize(side, InterpolationMode.BICUBIC, antialias=True), v2.CenterCrop(side)])
    features = []
    for rows in torch.arange(len(source)).split(batch_size):
        images = torch.stack([central(source.image(int(row))) for row in rows]).to(subject.device)
        features.append(select(subject.tokens(images.float() / 255), which).detach().float())
    return Embeddings(torch.cat(features), source.labels.to(subject.device))
