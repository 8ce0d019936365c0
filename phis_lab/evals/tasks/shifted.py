"""Accuracy on other images of the run's classes: ImageNet-R, -A, -Sketch, V2, each a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from phis_lab.bounds import Above, Positive
from phis_lab.data.image_folder import FolderImages
from phis_lab.data.listing import is_hidden, list_images
from phis_lab.data.transforms import Interpolation
from phis_lab.evals.answers import Answers, accuracies, check_neighbours
from phis_lab.evals.embedding import as_own, embed
from phis_lab.evals.score import Score
from phis_lab.evals.subject import Subject, Task


class ShiftedFolders(Task):
    """kNN and linear accuracy on folders `<root>/<class>/<image>`: `<name>/knn_accuracy`, `<name>/linear_accuracy`.

    Classifiers are fitted on the run's training images. Where a folder has some of the classes only, as ImageNet-R and
    ImageNet-A have 200 of 1,000, only these can be the answer, as their authors evaluate them.

    Args:
        roots: folders by name.
        classes_root: the folder whose subfolders name the run's classes, `<data.root>/train` of an image folder.
        k: neighbours that vote, by RADIO's protocol.
        c: inverse strength of the probe's penalty, as scikit-learn's C.
        train_images: labelled training images that the classifiers see.
        interpolation: filter of the folders' central views; that of the run's own images.

    Raises:
        ValueError: fewer training images than `k`, a folder without images, or a class that the run does not have.
    """

    def __init__(
        self,
        roots: Annotated[Mapping[str, str], Field(min_length=1)],
        classes_root: str,
        k: Positive = 20,
        c: Above = 1.0,
        train_images: Positive = 5000,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        check_neighbours(k, train_images)
        classes = sorted(
            entry.name for entry in _folder(classes_root).iterdir() if entry.is_dir() and not is_hidden(entry.name)
        )
        self.sources = {name: labelled_folder(root, classes) for name, root in roots.items()}
        self.classes, self.k, self.c, self.train_images = classes, k, c, train_images
        self.interpolation: Interpolation = interpolation

    def __call__(self, subject: Subject) -> dict[str, Score]:
        """Accuracies on every folder.

        Raises:
            ValueError: too few images, NaN in the features, or training labels that `classes_root` does not name.
        """
        train = embed(subject.tokens, subject.images("train", self.train_images))
        if (largest := int(train.labels.max())) >= len(self.classes):
            raise ValueError(f"classes_root names {len(self.classes)} classes, but the run has a label {largest}")
        answers = Answers(train, self.k, self.c)
        found: dict[str, Score] = {}
        for name, source in self.sources.items():
            test = embed(subject.tokens, as_own(subject, source, self.interpolation))
            if absent := set(test.labels.tolist()) - set(train.labels.tolist()):
                raise ValueError(
                    f"{name}: class {self.classes[min(absent)]!r} is not among the {len(train.labels)} training "
                    "images; raise train_images"
                )
            answered = answers(test.features, among=test.labels.unique())
            found |= {f"{name}/{metric}": score for metric, score in accuracies(answered, test.labels).items()}
        return found


def labelled_folder(root: str, classes: list[str]) -> FolderImages:
    """The images at `<root>/<class>/...`, labelled by the position of their class in `classes`.

    Raises:
        ValueError: no image, or a folder that is none of the classes.
    """
    folder = _folder(root)
    files, left_out = list_images(folder)
    if not files:
        raise ValueError(f"{folder} holds no image; it needs <class>/<name>.jpg or another kind of image")
    left_out.tell(f"{folder.parent.name}/{folder.name}")
    unknown = {file.relative_to(folder).parts[0] for file in files} - set(classes)
    if unknown:
        raise ValueError(
            f"{folder}: {sorted(unknown)[0]!r} is none of the run's {len(classes)} classes; name the folders as "
            "classes_root does"
        )
    return FolderImages(folder, files, classes)


def _folder(path: str) -> Path:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give one with <class>/<image>")
    return folder
