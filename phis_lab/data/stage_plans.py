"""Stages: stretches of a run's steps, each with its own image sizes, batches and teachers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Annotated

from pydantic import Field

Factor = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class PartitionPlan:
    """Images that a step renders at one size, for all teachers or some of them.

    Everything is relative, so that one list of stages serves every scale.

    Args:
        scale: image size over `student.image_size` (and `augmentation.image_size`): 1.6875 makes 432 px of 256.
        batch: images per step over `data.batch_size`.
        teachers: who sees these images, by name, with the image size over the teacher's own; one number for all of
            them; None for all, at their own sizes.
    """

    scale: Factor = 1.0
    batch: Factor = 1.0
    teachers: Mapping[str, Factor] | Factor | None = None

    def factors(self, everyone: Iterable[str]) -> dict[str, float]:
        """Who sees these images, with the image size over the teacher's own.

        Args:
            everyone: names of all teachers.
        """
        if isinstance(self.teachers, Mapping):
            return dict(self.teachers)
        return dict.fromkeys(everyone, self.teachers or 1.0)

    def batch_size(self, base: int) -> int:
        """Images per step over all processes, of a `data.batch_size` of `base`."""
        return round(self.batch * base)


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One stage (PHI-S, table 10): statistics, optimiser and schedule begin anew, the student goes on.

    Args:
        steps: share of the run's steps, in the unit of the other stages' shares.
        partitions: by name; a step takes one batch of each, and its loss is their mean.
    """

    steps: Factor = 1.0
    partitions: Annotated[Mapping[str, PartitionPlan], Field(min_length=1)] = field(
        default_factory=lambda: {"all": PartitionPlan()}
    )

    def batch_sizes(self, base: int) -> dict[str, int]:
        """Images per step of each partition over all processes, of a `data.batch_size` of `base`."""
        return {name: partition.batch_size(base) for name, partition in self.partitions.items()}


WHOLE = PartitionPlan()
"""Every image for every teacher, at the sizes that they have without stages."""

ONE_STAGE: Mapping[str, StagePlan] = {"all": StagePlan(partitions={"all": WHOLE})}
"""The whole run in one."""


def boundaries(stages: Mapping[str, StagePlan], steps: int) -> list[tuple[int, int]]:
    """First step of each stage, and the first one after it.

    Args:
        stages: in their order.
        steps: of the whole run.

    Raises:
        ValueError: a stage's share comes to less than a step.
    """
    whole = sum(stage.steps for stage in stages.values())
    ends = [round(steps * share / whole) for share in accumulate(stage.steps for stage in stages.values())]
    spans = list(zip([0, *ends], ends, strict=False))
    empty = [name for name, (first, end) in zip(stages, spans, strict=True) if first == end]
    if empty:
        raise ValueError(f"stages.{empty[0]}.steps: its share of trainer.max_steps={steps} is less than one batch")
    return spans


def check_batches(
    stages: Mapping[str, StagePlan],
    batch_size: int,
    images: int,
    processes: int = 1,
    ranks: Mapping[str, Mapping[str, range]] | None = None,
) -> None:
    """Refuse batches that are empty, that do not divide among the processes or that exceed the data set.

    Args:
        stages: by name.
        batch_size: `data.batch_size`.
        images: in the training set.
        processes: that share a batch.
        ranks: of those that share the batch of a partition, by stage and partition; None are all.

    Raises:
        ValueError: naming the option.
    """
    for name, stage in stages.items():
        sizes = stage.batch_sizes(batch_size)
        for key, size in sizes.items():
            option = f"stages.{name}.partitions.{key}.batch" if stages is not ONE_STAGE else "data.batch_size"
            if size < 1:
                raise ValueError(f"{option}: its share of data.batch_size={batch_size} is less than one image")
            crew = processes if ranks is None else len(ranks[name][key])
            if size % crew:
                raise ValueError(f"{option}: {size} images do not divide among {crew} processes")
        if sum(sizes.values()) > images:
            option = f"stages.{name}" if stages is not ONE_STAGE else "data.batch_size"
            raise ValueError(
                f"{option}: {sum(sizes.values())} images per step exceed the {images} training images; lower "
                "data.batch_size"
            )
