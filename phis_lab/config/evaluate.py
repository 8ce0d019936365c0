"""`phis-lab evaluate`: other evaluations of a run that has ended."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from phis_lab.config.compose import composed
from phis_lab.config.rebuild import finished_job, rebuild, restore
from phis_lab.distill import Scores
from phis_lab.distill.outcome import measured
from phis_lab.tracking import RunRecord, read_record, write_record
from phis_lab.tracking.record import FILE_NAME


def evaluate_run(folder: Path, overrides: Sequence[str]) -> RunRecord:
    """Evaluates the trained student of a finished run and adds what was measured to its record.

    Numbers of the same name are replaced, the others stay. Nothing is written unless all of it ended.

    Args:
        folder: of the run.
        overrides: as for `run.py`; of them `evaluation` counts.

    Returns:
        The new record.

    Raises:
        ValueError: the run has not ended or failed, or an option is refused.
        FileNotFoundError: its configuration or its checkpoint is gone.
    """
    strange = [text for text in overrides if not text.lstrip("+~").startswith("evaluation")]
    if strange:
        raise ValueError(f"of a finished run only the evaluation can be chosen, got {', '.join(strange)}")
    job, record = finished_job(folder), read_record(folder / FILE_NAME)
    if record.status == "failed":
        raise ValueError(f"{folder} failed: {record.failure}; there is no trained student to evaluate")
    changed = job.config | {"evaluation": composed(overrides)["evaluation"]}
    group = rebuild([dataclasses.replace(job, config=changed)])
    (key,) = group.arms
    restore(group, key)
    device = torch.device(group.options.device)
    arm, stage = group.arms[key].to(device), group.stages[-1]
    for share in stage.shares.values():
        share.test.pool.to(device)
        share.test.prepare(device)
    scores: Scores = group.evaluation({key: arm}, stage, device, final=True)[key]
    new = record.model_copy(
        update={
            "metrics": record.metrics | measured(scores, group.evaluation),
            "teacher_metrics": record.teacher_metrics | scores.matching,
        }
    )
    write_record(folder, new)
    return new
