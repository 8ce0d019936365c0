"""Out-of-distribution detection with frozen features: near, by classes held out, and far, by other data."""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from phis_lab.bounds import NonNegative, Positive, Seed
from phis_lab.data.datasource import DataSource
from phis_lab.data.source import ImageSource
from phis_lab.data.transforms import Interpolation
from phis_lab.evals.embedding import as_own, embed
from phis_lab.evals.score import Embeddings, Score, mean_by_name, with_headlines
from phis_lab.evals.subject import Images, Labelled, Subject, Task
from phis_lab.evals.tasks.detectors import Detector
from phis_lab.shapes import Float, Int64


def auroc(inliers: Float[Tensor, " in"], outliers: Float[Tensor, " out"]) -> float:
    """Probability that an inlier scores higher than an outlier; a tie counts one half.

    It is the area under the ROC curve, as the Mann-Whitney statistic: exact in float64 for scores of any range.
    torchmetrics' `binary_auroc` takes scores outside [0, 1] for logits, and its sigmoid ties the large ones.

    Args:
        inliers: scores of images of known classes; higher means more alike.
        outliers: scores of the others.

    Raises:
        ValueError: no scores of one kind, or NaN among them.
    """
    _check(inliers, outliers)
    ordered = inliers.double().sort().values
    below, up_to = (torch.searchsorted(ordered, outliers.double(), right=right) for right in (False, True))
    return 1 - (below + up_to).double().mean().item() / (2 * len(ordered))


def false_positive_rate(inliers: Float[Tensor, " in"], outliers: Float[Tensor, " out"], missed: float = 0.05) -> float:
    """Share of outliers at or above the threshold that keeps 95 % of the inliers: FPR@95.

    The threshold is the 5 % quantile of the inliers' scores, interpolated, as in TinTeM's evaluation.

    Args:
        inliers: scores of images of known classes; higher means more alike.
        outliers: scores of the others.
        missed: share of the inliers below the threshold.

    Raises:
        ValueError: no scores of one kind, or NaN among them.
    """
    _check(inliers, outliers)
    threshold = inliers.double().quantile(missed)
    return (outliers.double() >= threshold).double().mean().item()


def _check(inliers: Tensor, outliers: Tensor) -> None:
    for name, scores in (("inliers", inliers), ("outliers", outliers)):
        if len(scores) == 0 or scores.isnan().any():
            raise ValueError(f"detection needs one score or more of each kind and no NaN, got {len(scores)} {name}")


_KINDS = ("near", "far")


_HEADLINES = ("near/nearest/auroc", "far/nearest/auroc")


def near_detection(
    train: Embeddings, test: Embeddings, unknown: Int64[Tensor, " classes"], detectors: Mapping[str, Detector]
) -> dict[str, Score]:
    """`<detector>/auroc` and `<detector>/fpr95` where images of the `unknown` classes are to be detected.

    Args:
        train: images of all classes; detectors see those of the other classes.
        test: images of all classes.
        unknown: labels that are held out.
        detectors: by name.

    Raises:
        ValueError: no image on one side, or what a detector refuses.
    """
    seen, inside = ~torch.isin(train.labels, unknown), ~torch.isin(test.labels, unknown)
    known = Embeddings(train.features[seen], train.labels[seen])
    return far_detection(known, test.features[inside], {"near": test.features[~inside]}, detectors)["near"]


def far_detection(
    train: Embeddings,
    inliers: Float[Tensor, "n d"],
    outliers: Mapping[str, Float[Tensor, "_ d"]],
    detectors: Mapping[str, Detector],
) -> dict[str, dict[str, Score]]:
    """The same for sets of other images, by name; floors are those of a score that does not look at the images.

    Args:
        train: images that detectors see.
        inliers: test images of the same classes.
        outliers: the other images.
        detectors: by name.

    Raises:
        ValueError: no image on one side, or what a detector refuses.
    """
    found: dict[str, dict[str, Score]] = {name: {} for name in outliers}
    for detector_name, detector in detectors.items():
        score = detector.fit(train)
        inside = score(inliers)
        for name, features in outliers.items():
            outside = score(features)
            missed = false_positive_rate(inside, outside)
            found[name][f"{detector_name}/auroc"] = Score(auroc(inside, outside), floor=0.5)
            found[name][f"{detector_name}/fpr95"] = Score(missed, floor=0.95, higher_is_better=False)
    return found


class OutOfDistribution(Task):
    """AUROC and FPR@95 of detectors on the student's summary: `<set>/<detector>/<number>`.

    `near` is the mean over groups of held-out classes: the detectors see the other classes, and test images of the
    group are to be detected. The student was distilled on images of all classes, without their labels. `far` is the
    mean over the far sets.

    Args:
        detectors: by name.
        far: other data by name, whose test images are to be detected; `test_images` limits them.
        near_classes: classes of a held-out group; 0 leaves `near` out.
        near_groups: groups, drawn without overlap; fewer where the classes do not suffice.
        train_images: labelled training images that detectors see.
        test_images: test images of the known classes.
        detail: `means` gives near and far; `full` every far set as well.
        seed: of the groups.
        interpolation: filter of the far sets' central views; that of the run's own images.

    Raises:
        ValueError: fewer training images than a detector needs, nothing to detect, or a far set named near or far.
    """

    def __init__(
        self,
        detectors: Annotated[Mapping[str, Detector], Field(min_length=1)],
        far: Mapping[str, DataSource] | None = None,
        near_classes: NonNegative = 2,
        near_groups: Positive = 5,
        train_images: Positive = 5000,
        test_images: Positive = 2000,
        detail: Literal["means", "full"] = "means",
        seed: Seed = 0,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        self.interpolation: Interpolation = interpolation
        self.detectors, self.far = dict(detectors), dict(far or {})
        self.near_classes, self.near_groups, self.seed = near_classes, near_groups, seed
        self.train_images, self.test_images, self.detail = train_images, test_images, detail
        if not self.far and not near_classes:
            raise ValueError("nothing is to be detected: give a far set, or near_classes above 0")
        if taken := self.far.keys() & set(_KINDS):
            raise ValueError(f"a far set cannot be called {sorted(taken)[0]!r}, which names a mean; rename it")
        for name, detector in self.detectors.items():
            if train_images < detector.minimum_images:
                raise ValueError(f"{name} needs {detector.minimum_images} images; train_images is {train_images}")

    def __call__(self, subject: Subject) -> dict[str, Score]:
        """Scores of every set.

        Raises:
            ValueError: a far set holds images of the run, too few classes or images, or NaN in the features.
        """
        own = Marks()
        train = embed(subject.tokens, own.mark(subject.images("train", self.train_images)))
        test = embed(subject.tokens, own.mark(subject.images("test", self.test_images)))
        found = {"near": self._near(train, test)} if self.near_classes else {}
        if self.far:
            outliers = {name: self._outliers(name, data.test, subject, own) for name, data in self.far.items()}
            sets = far_detection(train, test.features, outliers, self.detectors)
            found |= {"far": mean_by_name(list(sets.values()))} | (sets if self.detail == "full" else {})
        named = {f"{name}/{number}": score for name, scores in found.items() for number, score in scores.items()}
        return with_headlines(named, _HEADLINES)

    def _near(self, train: Embeddings, test: Embeddings) -> dict[str, Score]:
        groups = held_out_groups(test.labels.unique(), self.near_classes, self.near_groups, self.seed)
        return mean_by_name([near_detection(train, test, group, self.detectors) for group in groups])

    def _outliers(self, name: str, source: ImageSource, subject: Subject, own: "Marks") -> Tensor:
        marks = Marks()
        features = embed(subject.tokens, marks.mark(as_own(subject, source, self.interpolation))).features
        if shared := len(marks.seen & own.seen):
            raise ValueError(
                f"far set {name!r} ({source.name}): {shared} of its {len(source)} images are images of the run itself, "
                "so they cannot be out of its distribution; take other data"
            )
        return features


class Marks:
    """Remembers the pixels of the images that pass by."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()

    def mark(self, batches: Labelled) -> Iterator[tuple[Images, Int64[Tensor, " b"]]]:
        """Passes the batches on."""
        for images, labels in batches:
            pixels = (images * 255).round().byte().cpu().numpy()
            self.seen.update(blake2b(image.tobytes(), digest_size=16).digest() for image in pixels)
            yield images, labels


def held_out_groups(
    classes: Int64[Tensor, " classes"], size: int, groups: int, seed: Seed
) -> list[Int64[Tensor, " size"]]:
    """Draws groups of `size` classes without overlap, at most `groups`.

    Raises:
        ValueError: fewer than two classes would remain known.
    """
    if len(classes) < size + 2:
        raise ValueError(
            f"near_classes={size} leaves {max(0, len(classes) - size)} of {len(classes)} classes known; two or more "
            "are needed"
        )
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))
    return list(classes[order.to(classes.device)][: len(classes) // size * size].split(size)[:groups])
