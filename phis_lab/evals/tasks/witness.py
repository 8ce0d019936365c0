"""What a student and its teachers make of the same images."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity

from phis_lab.evals.answers import Answers, same_share
from phis_lab.evals.embedding import pooled
from phis_lab.evals.score import Score, accuracy_score, mean_score
from phis_lab.evals.subject import Labelled, Subject
from phis_lab.features import Features
from phis_lab.shapes import Float, Int64

_PIXELS = 16


class Pair(NamedTuple):
    """Pooled features of images in a teacher's own space."""

    student: Float[Tensor, "n d"]
    teacher: Float[Tensor, "n d"]


class Witness(NamedTuple):
    """Features of the same images from every side.

    Attributes:
        tokens: the student's own summary.
        pixels: the images in 16 x 16 means, the features that no network made.
        pairs: per teacher what the student says in its space, and the teacher's own features.
        cosines: `<teacher>/<kind>_cosine` of the two, mean over images, and over tokens where the kind is spatial.
        labels: of the images.
    """

    tokens: Float[Tensor, "n d"]
    pixels: Float[Tensor, "n p"]
    pairs: dict[str, Pair]
    cosines: dict[str, Score]
    labels: Int64[Tensor, " n"]


def witness(subject: Subject, batches: Labelled) -> Witness:
    """Looks at the batches once with the student and all teachers.

    Raises:
        ValueError: NaN in the features.
    """
    tokens, pixels, labels = [], [], []
    pairs: dict[str, list[Pair]] = {}
    cosines: dict[str, list[Tensor]] = {}
    for images, targets in batches:
        labels.append(targets.to(images.device))
        tokens.append(pooled(subject.tokens(images)))
        pixels.append(adaptive_avg_pool2d(images, _PIXELS).flatten(1))
        said, meant = subject.predictions(images), subject.teachers(images)
        for name in said.keys() & meant.keys():
            student, teacher = in_common(said[name], meant[name])
            if teacher.summary is None and teacher.spatial is None:
                continue
            pairs.setdefault(name, []).append(Pair(pooled(student), pooled(teacher)))
            for kind, values in cosines_by_kind(student, teacher).items():
                cosines.setdefault(f"{name}/{kind}_cosine", []).append(values)
    return Witness(
        torch.cat(tokens),
        torch.cat(pixels),
        {name: Pair(*map(torch.cat, zip(*pairs[name], strict=True))) for name in sorted(pairs)},
        {name: Score(torch.cat(cosines[name]).mean().item(), unit="") for name in sorted(cosines)},
        torch.cat(labels),
    )


def in_common(student: Features, teacher: Features) -> tuple[Features, Features]:
    """Both without the kinds of features that the other lacks."""
    kinds = [None not in pair for pair in zip(student, teacher, strict=True)]
    return tuple(  # type: ignore[return-value]  # two, one for each argument
        Features(*(tensor if both else None for tensor, both in zip(side, kinds, strict=True)))
        for side in (student, teacher)
    )


def cosines_by_kind(student: Features, teacher: Features) -> dict[str, Float[Tensor, " b"]]:
    """Cosine of every image in the teacher's own space, in float64; spatial tokens are averaged after their cosines."""
    found = {}
    if student.summary is not None and teacher.summary is not None:
        found["summary"] = cosine_similarity(student.summary.double(), teacher.summary.double(), dim=-1)
    if student.spatial is not None and teacher.spatial is not None:
        tokens = cosine_similarity(student.spatial.double(), teacher.spatial.double(), dim=-1)
        found["spatial"] = tokens.mean(dim=(1, 2))
    return found


def faithfulness(seen: Witness, spaces: Mapping[str, Answers]) -> dict[str, Score]:
    """How far the student answers as its teachers do, on the images of a witness.

    Per teacher and classifier of its space: `<teacher>/<classifier>_agreement`, the share of images to which the
    classifier gives the same class for the student's features and for the teacher's, right or wrong, and
    `<teacher>/<classifier>_accuracy` of the teacher's own features. And the cosines. `<classifier>_agreement` and
    `<kind>_cosine` are means over teachers.

    Args:
        seen: the images from every side.
        spaces: classifiers by teacher, fitted on the teacher's own features.
    """
    found = dict(seen.cosines)
    for name, (student, teacher) in seen.pairs.items():
        said, meant = spaces[name](student), spaces[name](teacher)
        for classifier, answer in meant.items():
            found |= {
                f"{name}/{classifier}_accuracy": accuracy_score(same_share(answer, seen.labels), seen.labels),
                f"{name}/{classifier}_agreement": Score(same_share(answer, said[classifier])),
            }
    return found | _over_teachers(found)


def _over_teachers(found: Mapping[str, Score]) -> dict[str, Score]:
    """The mean over teachers of what says how faithful the student is to each."""
    kinds = dict.fromkeys(name.partition("/")[2] for name in found)
    shares = {kind: [value for name, value in found.items() if name.partition("/")[2] == kind] for kind in kinds}
    return {kind: mean_score(values) for kind, values in shares.items() if is_faithfulness(kind)}


def is_faithfulness(name: str) -> bool:
    """Whether a number compares the student with a teacher."""
    return name.endswith(("_cosine", "_agreement"))
