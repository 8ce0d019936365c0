"""Robustness to common corruptions: accuracy, corruption errors, and faithfulness to the teachers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from phis_lab.bounds import Above, Positive
from phis_lab.evals.answers import CLASSIFIERS, Answers, accuracies, check_neighbours
from phis_lab.evals.score import Embeddings, Score, constant_answer, mean_by_name, with_headlines
from phis_lab.evals.subject import Images, Subject, Task
from phis_lab.evals.tasks.corruptions import (
    ALEXNET_ERRORS,
    CORRUPTIONS,
    SEVERITIES,
    check_corruptions_installed,
    corrupt,
)
from phis_lab.evals.tasks.witness import Witness, faithfulness, is_faithfulness, witness
from phis_lab.shapes import Int64
from phis_lab.spoken import FRACTION

_STUDENT, _PIXELS, _ALEXNET = "student", "pixels", "alexnet"
_HEADLINES = ("corrupted/knn_accuracy", "knn_mce")


def mean_corruption_error(errors: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """mCE: the mean over corruptions of error / reference error, each a mean over severities.

    Hendrycks and Dietterich (2019), as a fraction: 1 is as robust as the reference, and lower is better.

    Args:
        errors: top-1 error by corruption.
        reference: errors of the named reference; of more corruptions perhaps.

    Raises:
        ValueError: the reference makes no error under a corruption, or none is known.
    """
    for name in errors:
        if not reference.get(name, 0) > 0:
            raise ValueError(
                f"mCE divides by the reference's error, which under {name} is {reference.get(name)}; take more test "
                "images or another reference"
            )
    return sum(error / reference[name] for name, error in errors.items()) / len(errors)


class Robustness(Task):
    """Fifteen corruptions at five severities: `<condition>/<number>`, and `knn_mce`, `linear_mce`.

    Classifiers are fitted on clean training images. A condition is `clean`, a corruption (mean over severities) or
    `corrupted` (mean over corruptions). Its numbers are `knn_accuracy` and `linear_accuracy` of the student's summary
    and what `faithfulness` gives for the teachers. `relative/<number>` is a faithfulness under corruption over that on
    clean images. Agreement comes cheap where a corruption leaves both with one answer: read it beside the accuracies.

    Args:
        corruptions: which ones; None takes all fifteen.
        severities: of 1 to 5.
        reference: whose errors mCE divides by, as its unit tells: `pixels`, the same classifiers on 16 x 16 pixels; a
            teacher of the run; or `alexnet`, whose published errors belong to ImageNet and all severities. None leaves
            mCE out.
        k: neighbours that vote, by RADIO's protocol.
        c: inverse strength of the probes' penalty, as scikit-learn's C.
        train_images: labelled training images that the classifiers see.
        test_images: test images, each seen once per corruption and severity.
        detail: `means` gives clean and corrupted, teachers taken together; `full` every corruption and every teacher.

    Raises:
        ValueError: fewer training images than `k`, unknown corruptions or severities, or a reference that does not fit.
        ModuleNotFoundError: imagecorruptions is not installed.
    """

    def __init__(
        self,
        corruptions: Annotated[Sequence[str], Field(min_length=1)] | None = None,
        severities: Annotated[Sequence[Annotated[int, Field(ge=1, le=5)]], Field(min_length=1)] = SEVERITIES,
        reference: str | None = _PIXELS,
        k: Positive = 20,
        c: Above = 1.0,
        train_images: Positive = 2000,
        test_images: Positive = 200,
        detail: Literal["means", "full"] = "means",
    ) -> None:
        check_corruptions_installed()
        self.corruptions, self.severities = list(corruptions or CORRUPTIONS), list(severities)
        self.reference, self.k, self.c = reference, k, c
        self.train_images, self.test_images, self.detail = train_images, test_images, detail
        for name, given, known in (
            ("corruptions", self.corruptions, CORRUPTIONS),
            ("severities", self.severities, SEVERITIES),
        ):
            if wrong := [value for value in given if value not in known]:
                raise ValueError(f"{name} are some of {', '.join(map(str, known))}, got {wrong[0]!r}")
        check_neighbours(k, train_images)
        if reference == _ALEXNET and set(self.severities) != set(SEVERITIES):
            raise ValueError("AlexNet's errors are means over severities 1 to 5; give all five, or another reference")

    def __call__(self, subject: Subject) -> dict[str, Score]:
        """All numbers.

        Raises:
            ValueError: images below 32 pixels, too few of them, NaN in the features, no such reference, or one that
                makes no error.
        """
        train = witness(subject, subject.images("train", self.train_images))
        self._check_reference(train)
        spaces = self._spaces(train)
        test = [(_in_bytes(images), labels) for images, labels in subject.images("test", self.test_images)]

        def measured(name: str | None = None, severity: int = 1) -> dict[str, Score]:
            return self._measured(witness(subject, _corrupted(test, name, severity, subject.device)), spaces)

        rows = {"clean": measured()}
        for name in self.corruptions:
            rows[name] = mean_by_name([measured(name, severity) for severity in self.severities])
        return self._summary(rows, constant_answer(torch.cat([labels for _, labels in test])))

    def _spaces(self, train: Witness) -> dict[str, Answers]:
        features = {name: pair.teacher for name, pair in train.pairs.items()} | {_STUDENT: train.tokens}
        if self.reference == _PIXELS:
            features[_PIXELS] = train.pixels
        return {name: Answers(Embeddings(x, train.labels), self.k, self.c) for name, x in features.items()}

    def _check_reference(self, train: Witness) -> None:
        known = (_PIXELS, _ALEXNET, *train.pairs)
        if self.reference is not None and self.reference not in known:
            raise ValueError(f"reference is one of {', '.join(known)} or null, got {self.reference!r}")

    def _measured(self, seen: Witness, spaces: Mapping[str, Answers]) -> dict[str, Score]:
        found = accuracies(spaces[_STUDENT](seen.tokens), seen.labels)
        if _PIXELS in spaces:
            pixels = accuracies(spaces[_PIXELS](seen.pixels), seen.labels)
            found |= {f"{_PIXELS}/{metric}": value for metric, value in pixels.items()}
        return found | faithfulness(seen, spaces)

    def _summary(self, rows: Mapping[str, Mapping[str, Score]], floor: float) -> dict[str, Score]:
        corrupted = mean_by_name([rows[name] for name in self.corruptions])
        compared = {metric: clean for metric, clean in rows["clean"].items() if is_faithfulness(metric) and clean > 0}
        relative = {metric: Score(corrupted[metric] / clean) for metric, clean in compared.items()}
        told = {**rows, "corrupted": corrupted, "relative": relative}
        if self.detail == "means":
            told = {name: _together(told[name]) for name in ("clean", "corrupted", "relative")}
        found = {f"{row}/{metric}": score for row, scores in told.items() for metric, score in scores.items()}
        for classifier in CLASSIFIERS if self.reference is not None else ():
            errors = {name: 1 - rows[name][f"{classifier}_accuracy"] for name in self.corruptions}
            reference = self._reference_errors(rows, classifier)
            blind = mean_corruption_error(dict.fromkeys(errors, 1 - floor), reference)
            unit = f"{FRACTION} of error with {self.reference}"
            error = mean_corruption_error(errors, reference)
            found[f"{classifier}_mce"] = Score(error, blind, unit, higher_is_better=False)
        return with_headlines(found, _HEADLINES)

    def _reference_errors(self, rows: Mapping[str, Mapping[str, Score]], classifier: str) -> Mapping[str, float]:
        if self.reference == _ALEXNET:
            return ALEXNET_ERRORS
        return {name: 1 - rows[name][f"{self.reference}/{classifier}_accuracy"] for name in self.corruptions}


def _in_bytes(images: Images) -> Tensor:
    return (images * 255).round().byte().cpu()


def _corrupted(
    test: Sequence[tuple[Tensor, Tensor]], name: str | None, severity: int, device: torch.device
) -> Iterator[tuple[Images, Int64[Tensor, " b"]]]:
    """Batches of bytes as images in [0, 1], corrupted unless `name` is None."""
    first = 0
    for pixels, labels in test:
        images = pixels.to(device).float() / 255
        yield (images if name is None else corrupt(images, name, severity, first)), labels
        first += len(labels)


def _together(row: Mapping[str, Score]) -> dict[str, Score]:
    """What belongs to no single teacher or reference."""
    return {metric: value for metric, value in row.items() if "/" not in metric}
