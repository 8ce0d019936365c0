"""What every arm is measured by, during training and at its end."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from phis_lab import processes
from phis_lab.bounds import Positive
from phis_lab.data import DataSource, UnlabelledError
from phis_lab.data.datasource import read_at
from phis_lab.data.loading import refuse_absent_classes
from phis_lab.engine.arm import Arm
from phis_lab.engine.matching.arm_matching import MatchingScores
from phis_lab.engine.matching.group_matching import GroupMatching
from phis_lab.engine.stages import Loader, Partition, Stage
from phis_lab.evals import Embeddings, Probe
from phis_lab.evals.score import Score
from phis_lab.evals.subject import Images, Subject, Task
from phis_lab.features import Features, Tokens
from phis_lab.guards import PartError
from phis_lab.runs import TeacherMetrics


def subject_of(
    arm: Arm, partition: Partition, device: torch.device, needs_labels: bool = True, folder: Path | None = None
) -> Subject:
    """An arm in evaluation mode, beside the teachers of one partition and at its image size.

    Args:
        arm: the student.
        partition: the partition.
        device: where images have to be.
        needs_labels: refuse images without labels; otherwise theirs is -1.
        folder: where tasks may leave files.
    """
    scale = partition.plan.scale
    grid = arm.grid_at(scale)

    def tokens(images: Images) -> Features:
        return arm.predict(images, scale, teachers=())[0]

    def teachers(images: Images) -> dict[str, Features]:
        return dict(partition.test(images)[grid])

    def predictions(images: Images) -> dict[str, Features]:
        names = partition.test.pool.teachers
        said = arm.predict(images, scale, tuple(names))[1]
        spaces = {name: arm.space(name) for name in said}
        return {name: space.restored(said[name]) for name, space in spaces.items() if space.is_invertible}

    def labelled(split: Literal["train", "test"], count: int) -> Iterator[tuple[Images, torch.Tensor]]:
        for images, labels in partition.loader(split, count, needs_labels):
            yield images.to(device), labels.to(device)

    seen = tokens, predictions, teachers, labelled
    return Subject(*seen, partition.image_size, device, arm.student.backbone, partition.classes, folder)


class Scores(NamedTuple):
    """One arm's results: probes as `<name>/<metric>`, matching per teacher and kind of feature, effective ranks."""

    probes: dict[str, Score]
    matching: TeacherMetrics
    student: dict[str, Score]

    def flat(self) -> dict[str, float]:
        """All of them by name as plain numbers, for loggers."""
        matching = {
            f"test/{teacher}/{kind}/{name}": value
            for teacher, kinds in self.matching.items()
            for kind, values in kinds.items()
            for name, value in values.items()
        }
        return {**{f"test/{name}": float(value) for name, value in (self.probes | self.student).items()}, **matching}


class Evaluation:
    """Teacher matching in each teacher's own space on test images, and probes on frozen student features.

    Teachers are matched on the images of `data`, always; what needs labels sees those of the evaluation's own data set,
    where one is chosen.

    Args:
        probes: by name, such as `knn` and `linear_probe`.
        every: steps between evaluations while training; None evaluates at the end alone.
        train_images: labelled training images that the probes may use, without augmentation; None takes all.
        test_images: test images for the probes; None takes all.
        matching_images: test images for teacher matching.
        tokens: student features that the probes see: its summary token, the mean of its spatial tokens, or both joined.
        tasks: evaluations with data of their own, by name; most of them at the end alone.
        data: the data set whose labelled images probes and tasks see; None is the one that students train on.

    Raises:
        ValueError: data are given, and nothing would look at their labels.
    """

    def __init__(
        self,
        probes: Mapping[str, Probe],
        every: Positive | None = None,
        train_images: Positive | None = 5000,
        test_images: Positive | None = 2000,
        matching_images: Positive = 1000,
        tokens: Tokens = "summary",
        tasks: Mapping[str, Task] | None = None,
        data: DataSource | None = None,
    ) -> None:
        self.probes, self.every = dict(probes), every
        self.train_images, self.test_images, self.matching_images = train_images, test_images, matching_images
        self.tokens: Tokens = tokens
        self.tasks, self.data = dict(tasks or {}), data
        if data is not None and not self.needing_labels():
            raise ValueError(
                "data are read by probes and tasks that need labels, and this evaluation has none; leave "
                "evaluation.data out, or choose evaluation=probes"
            )

    def check(self, loader: Loader, teachers: Collection[str]) -> None:
        """Refuse what would only fail at the end.

        That are images without labels, test images of classes that the training images lack, fewer images than a probe
        needs, and missing teachers.

        Raises:
            ValueError: naming the probe, the task or the images.
        """
        for task in self.tasks.values():
            task.check(teachers)
        for name, probe in self.probes.items():
            if self.train_images is not None and self.train_images < probe.minimum_images:
                raise ValueError(f"{name} needs {probe.minimum_images} images; train_images is {self.train_images}")
        needing = self.needing_labels()
        loader("test", self.matching_images, False)
        if not needing:
            return
        try:
            with nullcontext() if self.data is None else read_at("evaluation.data"):
                train, test = loader("train", self.train_images, True), loader("test", self.test_images, True)
                if self.probes:
                    refuse_absent_classes(train, test)
        except UnlabelledError as error:
            who = ", ".join(needing)
            if self.data is None:
                raise UnlabelledError(error.why, f"evaluation by {who}") from error
            raise ValueError(
                f"evaluation.data: {error.why}, and {who} need labels and test images; choose a data set that has both"
            ) from error

    def needing_labels(self) -> list[str]:
        """Names of the probes, and of the tasks that see labelled images."""
        return [*self.probes, *(name for name, task in self.tasks.items() if task.needs_labels)]

    def due(self, step: int) -> bool:
        """Whether to evaluate after this many steps."""
        return self.every is not None and step > 0 and step % self.every == 0

    @torch.no_grad()
    def __call__(
        self,
        arms: Mapping[str, Arm],
        stage: Stage,
        device: torch.device,
        final: bool,
        folders: Mapping[str, Path] = MappingProxyType({}),
    ) -> dict[str, Scores]:
        """Scores of every arm at a stage's image sizes; one pass over the images and the teachers serves all of them.

        A teacher is matched on the first partition that it sees; the probes see the images of the first one.

        Args:
            arms: by the keys of their scores.
            stage: whose teachers and sizes count.
            device: where images have to be.
            final: at the end, when all probes and tasks are asked.
            folders: of the arms' runs, where tasks may leave files.
        """
        was_training = {key: arm.training for key, arm in arms.items()}
        for arm in arms.values():
            arm.eval()
        try:
            matching = self._match(arms, stage, device, final)
            first = processes.rank() == 0  # the others have it from there, where they do not hold its teachers
            scores = self._scores(arms, stage, device, final, folders) if first or not stage.crews else {}
            scores = processes.said_by(0, scores) if stage.crews else scores
        finally:
            for key, arm in arms.items():
                arm.train(was_training[key])
        return {key: Scores(scores[key], matching[key].teachers, matching[key].student) for key in arms}

    def _scores(
        self,
        arms: Mapping[str, Arm],
        stage: Stage,
        device: torch.device,
        final: bool,
        folders: Mapping[str, Path],
    ) -> dict[str, dict[str, Score]]:
        """What probes and tasks say of every arm, on the images of the first partition."""
        probes = {name: probe for name, probe in self.probes.items() if final or probe.when == "always"}
        scores = self._probe(arms, probes, stage.main, device) if probes else {key: {} for key in arms}
        tasks = {name: task for name, task in self.tasks.items() if final or task.when == "always"}
        for key, arm in arms.items():
            for name, task in tasks.items():
                subject = subject_of(arm, stage.main, device, task.needs_labels, folders.get(key))
                scores[key] |= named_scores(name, task, task(subject))
        return scores

    def _match(
        self, arms: Mapping[str, Arm], stage: Stage, device: torch.device, full: bool
    ) -> dict[str, MatchingScores]:
        found = {key: MatchingScores({}, {}) for key in arms}
        matched = stage.matched()
        for name, partition in stage.own().items():
            teachers = matched[name]
            if not teachers:
                continue
            matching = GroupMatching(arms, teachers, partition.plan.scale, full, partition.test.pool.resize)
            for batch in partition.loader("test", self.matching_images, False).batches:
                images = batch.images.to(device, non_blocking=True)
                matching.update(images, partition.test(images, batch.keys))
            found = {key: found[key].joined(scores) for key, scores in matching.compute().items()}
        if stage.crews:
            found, *others = processes.of_all(found)
            for of_process in others:
                found = {key: scores.joined(of_process[key]) for key, scores in found.items()}
        return found

    def _probe(
        self, arms: Mapping[str, Arm], probes: Mapping[str, Probe], partition: Partition, device: torch.device
    ) -> dict[str, dict[str, Score]]:
        train = self._embed(arms, partition, partition.loader("train", self.train_images, True), device)
        test = self._embed(arms, partition, partition.loader("test", self.test_images, True), device)
        return {
            key: {
                number: score
                for name, probe in probes.items()
                for number, score in named_scores(name, probe, probe(train[key], test[key])).items()
            }
            for key in arms
        }

    def _embed(
        self,
        arms: Mapping[str, Arm],
        partition: Partition,
        batches: Iterable[tuple[Tensor, Tensor]],
        device: torch.device,
    ) -> dict[str, Embeddings]:
        features: dict[str, list[Tensor]] = {key: [] for key in arms}
        labels: list[Tensor] = []
        for images, targets in batches:
            labels.append(targets)
            on_device = images.to(device)
            for key, arm in arms.items():
                tokens = arm.predict(on_device, partition.plan.scale, teachers=())[0]
                features[key].append(tokens.pooled(self.tokens))
        truth = torch.cat(labels).to(device)
        return {key: Embeddings(torch.cat(parts), truth) for key, parts in features.items()}


def named_scores(name: str, part: Probe | Task, given: object) -> dict[str, Score]:
    """What a probe or a task gave, by `<name>/<number>`; see `Score.of` for plain numbers.

    Raises:
        PartError: it gave something else than numbers by name.
    """
    try:
        return {f"{name}/{number}": Score.of(value) for number, value in dict(given).items()}  # type: ignore[call-overload]
    except (TypeError, ValueError, RuntimeError) as error:  # no dict; no number; text; a tensor of several
        raise PartError(
            f"evaluation {name!r} ({type(part).__name__}) gives {given!r:.100}, and a dict of numbers by name is wanted"
        ) from error
