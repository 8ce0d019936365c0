"""What student and teachers see in test images, as colours: left in the run's folder for the page of a report."""

import logging
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate, pad

from phis_lab.evals.neighbours.nearest import nearest_neighbours
from phis_lab.evals.score import Score, When
from phis_lab.evals.subject import Images, Subject, Task
from phis_lab.features import Features
from phis_lab.linalg import Moments
from phis_lab.shapes import Float, Float64, UInt8
from phis_lab.whole_files import load_sealed, save_sealed

PICTURES_FILE = "pictures.safetensors"
LARGEST_FILE = 16 * 2**20
SIDE = 96
"""Pixels of an image in the file, at most."""
_EXTREMES = 0.02
log = logging.getLogger(__name__)


class Colours(NamedTuple):
    """What turns features into colours: their three leading principal components, each from its lowest to its highest.

    Two per cent of the tokens lie beyond either end, so that a single one does not make the others grey.
    """

    mean: Float64[Tensor, " c"]
    basis: Float64[Tensor, "c 3"]
    low: Float64[Tensor, " 3"]
    high: Float64[Tensor, " 3"]

    @classmethod
    def of(cls, features: Float[Tensor, "n h w c"]) -> "Colours":
        """Those of these features; where they have fewer than three channels, the other colours stay dark."""
        rows = features.double().flatten(0, 2).cpu()
        moments = Moments(rows.shape[1])
        moments.update(rows)
        basis = moments.eigh()[1][:, :3]
        basis = pad(basis, (0, 3 - basis.shape[1]))
        places = (rows - moments.mean) @ basis
        return cls(moments.mean, basis, places.quantile(_EXTREMES, dim=0), places.quantile(1 - _EXTREMES, dim=0))

    def __call__(self, features: Float[Tensor, "n h w c"]) -> UInt8[Tensor, "n _ _ 3"]:
        """The colours of other features of the same space: where they are the same, so are the colours."""
        places = (features.double().cpu() - self.mean) @ self.basis
        share = (places - self.low) / (self.high - self.low).clamp_min(torch.finfo(torch.float64).tiny)
        return (255 * share.nan_to_num().clamp(0, 1)).round().to(torch.uint8)


class Pictures(Task):
    """Leaves `pictures.safetensors` in the run's folder; it measures nothing.

    For the first test images: the image; the student's patch tokens as colours (`Colours`); every teacher's spatial
    features, and what the student says of them, both by the colours of the teacher's; and the test images that the
    student's summary finds most alike. The page of a report shows them, and so does a logger that shows pictures.

    Args:
        images: how many are shown.
        gallery: test images in which neighbours are looked for, those shown among them.
        neighbours: how many of them are shown for each.
        when: at every evaluation, each of which replaces the file, or only at the end.
    """

    needs_labels = False

    def __init__(
        self,
        images: Annotated[int, Field(ge=2, le=64)] = 6,
        gallery: Annotated[int, Field(ge=2, le=10**6)] = 500,
        neighbours: Annotated[int, Field(ge=1, le=16)] = 3,
        when: When = "always",
    ) -> None:
        self.images, self.gallery, self.neighbours = images, gallery, neighbours
        self.when = when

    @torch.no_grad()
    def __call__(self, subject: Subject) -> dict[str, Score]:
        """No numbers; nothing is left where the subject has no folder, or the folder cannot be written."""
        if subject.folder is None:
            return {}
        try:
            save_sealed(subject.folder / PICTURES_FILE, self._drawn(subject), {})
        except OSError as error:  # a view never decides whether a run lives
            log.warning("The pictures of %s were not written: %s", subject.folder, error)
        return {}

    def _drawn(self, subject: Subject) -> dict[str, Tensor]:
        thumbnails, summaries, shown = [], [], []
        missing = self.images
        for images, _ in subject.images("test", max(self.gallery, self.images)):
            thumbnails.append(_thumbnails(images))
            summaries.append(subject.tokens(images).pooled("summary").float())
            if missing > 0:
                shown.append(images[:missing])
                missing -= len(images)
        gallery = torch.cat(thumbnails)
        found = {"image": gallery[: self.images], **_coloured(subject, torch.cat(shown))}
        rows = torch.cat(summaries)
        count = min(self.neighbours + 1, len(rows))
        _, nearest = nearest_neighbours(rows, rows[: self.images], count)
        others = [[place for place in row if place != own][: count - 1] for own, row in enumerate(nearest.tolist())]
        return found | {f"neighbour/{rank + 1}": gallery[[row[rank] for row in others]] for rank in range(count - 1)}


def _coloured(subject: Subject, images: Images) -> dict[str, UInt8[Tensor, "n _ _ 3"]]:
    """The student's patches, and every teacher's features beside what the student says of them."""
    found = {}
    if (own := subject.tokens(images).spatial) is not None:
        found["student"] = Colours.of(own)(own)
    said: dict[str, Features] = subject.predictions(images)
    for name, features in subject.teachers(images).items():
        if features.spatial is not None:
            colours = Colours.of(features.spatial)
            found[f"teacher/{name}"] = colours(features.spatial)
            if name in said and (prediction := said[name].spatial) is not None:
                found[f"prediction/{name}"] = colours(prediction)
    return found


def _thumbnails(images: Images) -> UInt8[Tensor, "n _ _ 3"]:
    side = max(images.shape[-2:])
    small = images.float()
    if side > SIDE:
        small = interpolate(small, scale_factor=SIDE / side, mode="bilinear", antialias=True)
    return (255 * small.clamp(0, 1)).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().contiguous()


def stamp_of_pictures(folder: Path) -> int:
    """When the task last wrote into a run's folder, in nanoseconds; 0 where it never did."""
    path = folder / PICTURES_FILE
    return path.stat().st_mtime_ns if path.is_file() else 0


def read_pictures(folder: Path) -> dict[str, UInt8[Tensor, "n _ _ 3"]]:
    """What the task left in a run's folder, by the names of columns; nothing where there is none.

    Raises:
        ValueError: the file is damaged, or no such file.
    """
    path = folder / PICTURES_FILE
    if not path.is_file():
        return {}
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path} is larger than any file of pictures")
    found, _ = load_sealed(path)
    counts = {len(pixels) for pixels in found.values() if pixels.ndim == 4}
    if len(counts) != 1 or any(p.ndim != 4 or p.shape[-1] != 3 or p.dtype != torch.uint8 for p in found.values()):
        raise ValueError(f"{path} holds no pictures")
    return found
