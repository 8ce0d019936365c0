"""`phis-lab export --standardize`: PHI-S on the tokens of a finished run's student, over the run's training images."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from phis_lab.config.build import build
from phis_lab.config.jobs import check_recorded
from phis_lab.config.sources import TRAINING
from phis_lab.data import DataModule, DataSource, PartitionPlan
from phis_lab.runs import RunRecord
from phis_lab.runs.job import Job
from phis_lab.students import Student
from phis_lab.students.export.standardize import fit_standardizer
from phis_lab.students.export_folder import Standardization


def standardize(
    student: Student, job: Job, record: RunRecord, partition: PartitionPlan, images: int, trusted: Sequence[str]
) -> Standardization:
    """Gives a folded student, in place, a standardiser of its tokens.

    Args:
        student: at the image size that it leaves with.
        job: of the run.
        record: likewise.
        partition: at whose size the images are rendered.
        images: how many at most, the same in every export, in their central views.
        trusted: modules that the run may name beside the shipped configuration.

    Returns:
        What was done, for the description.

    Raises:
        ValueError: the data of the run cannot be built, or are not those that it was trained on.
    """
    parts = {name: job.config[name] for name in ("data", "augmentation")}
    check_recorded(job.folder, parts, trusted)
    source: DataSource = build(parts["data"], "data")
    before = record.sources.get(TRAINING)
    if before is not None and before.sha256 != source.train.fingerprint:
        raise ValueError(
            f"the training images of {source.train.name} are not those that {job.folder} was trained on; bring these "
            "back, or export without --standardize"
        )
    augmentation = build(parts["augmentation"], "augmentation")
    loader = DataModule(source, augmentation, steps=1).eval_loader("train", images, labelled=False, partition=partition)
    seen = 0

    def counted() -> Iterator[Tensor]:
        nonlocal seen
        for batch, _ in loader:
            seen += len(batch)
            yield batch

    student.standardizer = fit_standardizer(student, counted())
    return Standardization(method="PHI-S", images=seen, data=f"{record.data.name} {record.data.fingerprint[:12]}")
