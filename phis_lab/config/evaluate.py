"""`phis-lab evaluate`: other evaluations of a run that has ended."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from phis_lab.config.compose import composed
from phis_lab.config.rebuild import finished_job, rebuild, restore
from phis_lab.distill import Scores
from phis_lab.distill.outcome import measured
from phis_lab.tracking import RunRecord, read_record, write_record
from phis_lab.tracking.lock import run_lock
from phis_lab.tracking.record import FILE_NAME
from phis_lab.tracking.spoken import spoken

log = logging.getLogger(__name__)

CHOICES = ("evaluation", "task@evaluation", "segmentation", "transfer", "hydra.searchpath")


def evaluate_run(folder: Path, overrides: Sequence[str], config_dir: Path | None = None) -> RunRecord:
    """Evaluates the trained student of a finished run and adds what was measured to its record.

    The evaluation is the run's own but for what the overrides change. Numbers that the run has stay as they are, for
    its name tells by which protocol they were measured. Nothing is written unless all of it ended.

    Args:
        folder: of the run.
        overrides: as for `run.py`; of them `evaluation` counts.
        config_dir: of own configurations.

    Returns:
        The new record.

    Raises:
        ValueError: the run has not ended or failed, another process is at work in its folder, an option is refused, or
            its code, teachers or images changed since.
        FileNotFoundError: its configuration or its checkpoint is gone.
    """
    strange = [text for text in overrides if not text.lstrip("+~").startswith(CHOICES)]
    if strange:
        raise ValueError(f"of a finished run only the evaluation can be chosen, got {', '.join(strange)}")
    finished_job(folder)  # which refuses a folder that is none of a finished run
    with run_lock(folder):
        return _evaluate(folder, overrides, config_dir)


def _evaluate(folder: Path, overrides: Sequence[str], config_dir: Path | None) -> RunRecord:
    job, record = finished_job(folder), read_record(folder / FILE_NAME)
    if record.status == "failed":
        raise ValueError(f"{folder} failed: {record.failure}; there is no trained student to evaluate")
    own = [f"evaluation={record.choices.get('evaluation', 'probes')}"]
    chosen = any(text.startswith("evaluation=") for text in overrides)
    usual, wanted = (
        composed(given, config_dir)["evaluation"] for given in (own, [*([] if chosen else own), *overrides])
    )
    changed = job.config | {"evaluation": _changed(job.config["evaluation"], usual, wanted)}
    group = rebuild([dataclasses.replace(job, config=changed)])
    (key,) = group.arms
    restore(group, key)
    device = torch.device(group.options.device)
    arm, stage = group.arms[key].to(device), group.stages[-1]
    for share in stage.shares.values():
        share.test.pool.to(device)
        share.test.prepare(device)
    scores: Scores = group.evaluation({key: arm}, stage, device, final=True)[key]
    found = measured(scores, group.evaluation)
    for name in found.keys() & record.metrics.keys():
        if found[name].value != record.metrics[name].value:
            log.warning(
                "%s stays %s; now it was %s.", name, *(spoken(of[name].value) for of in (record.metrics, found))
            )
    new = record.model_copy(update={"metrics": found | record.metrics})
    write_record(folder, new)
    return new


def _changed(own: Any, usual: Any, wanted: Any) -> Any:
    """The run's own options, and what `wanted` has otherwise than usual."""
    if not (isinstance(own, dict) and isinstance(wanted, dict)):
        return own if wanted == usual else wanted
    before = usual if isinstance(usual, dict) else {}
    kept = {key: value for key, value in own.items() if key not in before and key not in wanted}
    changed = {key: _changed(own[key], before.get(key), value) for key, value in wanted.items() if key in own}
    added = {key: value for key, value in wanted.items() if key not in own and before.get(key) != value}
    return kept | changed | added
