"""`phis-lab evaluate`: other evaluations of a run that has ended."""

import dataclasses
import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from phis_lab.config.check import problems_of_part
from phis_lab.config.compose import composed
from phis_lab.config.jobs import finished_job, rebuild, restore
from phis_lab.config.option_files import CONF, options
from phis_lab.config.trust import targets
from phis_lab.engine import Evaluation, Scores
from phis_lab.engine.arm_record import evaluation_data, measured
from phis_lab.groups import GROUPS
from phis_lab.runs import Data, Metric, RunRecord, read_record, write_record
from phis_lab.runs.lock import run_lock
from phis_lab.runs.record import FILE_NAME
from phis_lab.spoken import spoken

log = logging.getLogger(__name__)

_UNSAID = "???"
"""In place of the usual value of an option that the usual evaluation does not have; no value is this."""


def evaluate_run(
    folder: Path, overrides: Sequence[str], config_dir: Path | None = None, trusted: Sequence[str] = ()
) -> RunRecord:
    """Evaluates the trained student of a finished run and adds what was measured to its record.

    The evaluation is the run's own but for what the overrides change. Numbers that the run has stay as they are, for
    its name tells by which protocol they were measured. Nothing is written unless all of it ended.

    Args:
        folder: of the run.
        overrides: as for `run.py`; of them `evaluation`, `task`, `transfer` and `segmentation` count.
        config_dir: of own configurations.
        trusted: modules that the run may name beside the shipped configuration.

    Returns:
        The new record.

    Raises:
        ValueError: the run has not ended or failed, another process is at work in its folder, an option is refused, or
            its code, teachers or images changed since.
        FileNotFoundError: its configuration or its checkpoint is gone.
    """
    strange = [text for text in overrides if not _is_of_evaluation(text)]
    if strange:
        raise ValueError(f"of a finished run only the evaluation can be chosen, got {', '.join(strange)}")
    finished_job(folder)  # which refuses a folder that is none of a finished run
    with run_lock(folder):
        return _evaluate(folder, overrides, config_dir, trusted)


def _is_of_evaluation(override: str) -> bool:
    """Whether an override concerns what can be chosen of a run that has ended."""
    key = override.lstrip("+~").partition("=")[0]
    group = GROUPS.get(re.split(r"[./]", key.rpartition("@")[2])[0])
    return key == "hydra.searchpath" or (group is not None and group.afterwards)


def _evaluate(folder: Path, overrides: Sequence[str], config_dir: Path | None, trusted: Sequence[str]) -> RunRecord:
    job, record = finished_job(folder), read_record(folder / FILE_NAME)
    if record.status == "failed":
        raise ValueError(f"{folder} failed: {record.failure}; there is no trained student to evaluate")
    usually = _own_choices(record, config_dir)
    chosen = {text.lstrip("+~").partition("=")[0] for text in overrides}
    kept = [] if "evaluation" in chosen else [text for text in usually if text.partition("=")[0] not in chosen]
    usual, wanted = (
        composed(given, config_dir, keep_usual=True)["evaluation"] for given in (usually, [*kept, *overrides])
    )
    if problems := problems_of_part(wanted, "evaluation"):
        raise ValueError("The configuration was refused:\n  " + "\n  ".join(problems))
    changed = job.config | {"evaluation": _changed(job.config["evaluation"], usual, wanted)}
    group = rebuild([dataclasses.replace(job, config=changed)], [*trusted, *targets(wanted)])
    (run,) = group.runs
    measured_on = evaluation_data(group.data) if group.evaluation.needing_labels() else record.evaluation_data
    _refuse_other_images(folder, record, measured_on, group.evaluation)
    restore(group, run)
    device = torch.device(group.options.device)
    arm, stage = run.arm.to(device), group.stages[-1]
    for partition in stage.partitions.values():
        partition.test.pool.to(device)
        partition.test.prepare(device)
    scores: Scores = group.evaluation({run.key: arm}, stage, device, final=True, folders={run.key: folder})[run.key]
    found = measured(scores)
    own = {name: source for name, source in run.sources.items() if name.startswith("evaluation.data.")}
    metrics = _joined(found, record.metrics)
    changes = {"metrics": metrics, "evaluation_data": measured_on, "sources": record.sources | own}
    new = record.model_copy(update=changes)
    write_record(folder, new)
    return new


def _joined(found: Mapping[str, Metric], before: Mapping[str, Metric]) -> dict[str, Metric]:
    """All numbers: those that the run has stay, and get the floor that they lack where they were measured again."""
    joined = {**found, **before}
    for name in before.keys() & found.keys():
        old, new = before[name], found[name]
        if old.value == new.value or (math.isnan(old.value) and math.isnan(new.value)):
            joined[name] = old if old.floor is not None else old.model_copy(update={"floor": new.floor})
        else:
            log.warning("%s stays %s; now it was %s.", name, spoken(old.value), spoken(new.value))
    return joined


def _own_choices(record: RunRecord, config_dir: Path | None) -> list[str]:
    """The evaluation and the tasks that a run was started with, of those that there still are.

    A record may be a stranger's: what it chooses is an option of the shipped configuration or of the user's own folder.
    """
    there = options("evaluation", (CONF, *([] if config_dir is None else [config_dir])))
    usual = GROUPS["evaluation"].usual
    evaluation = record.choices.get("evaluation", usual)
    tasks = [text for text in record.overrides if _names_tasks(text, config_dir)]
    return [f"evaluation={evaluation if evaluation in there else usual}", *tasks]


def _names_tasks(override: str, config_dir: Path | None) -> bool:
    """Whether a recorded override chooses tasks that there are; anything else could lead out of the configuration."""
    names = re.fullmatch(r"task=\[?([\w/,]+)\]?", override)
    there = options("task", [CONF] if config_dir is None else [CONF, config_dir])
    return names is not None and {*names[1].split(",")} <= {*there}


def _refuse_other_images(folder: Path, record: RunRecord, measured_on: Data | None, evaluation: Evaluation) -> None:
    """Refuse to mix numbers of two labelled data sets in one record, where a name could stand for either."""
    before, now = record.evaluation_data or record.data, measured_on or record.data
    if before.fingerprint == now.fingerprint:
        return
    alone = {name for name, task in evaluation.tasks.items() if not task.needs_labels}
    numbers = [
        name
        for name, metric in record.metrics.items()
        if metric.higher_is_better is not None and name.partition("/")[0] not in alone
    ]
    if numbers:
        raise ValueError(
            f"{folder} has {', '.join(numbers[:3])} of {before.name}, and the numbers of one record are of one "
            f"labelled data set, not of {now.name} too; further sets of a student are those of task=transfer"
        )


def _changed(own: Any, usual: Any, wanted: Any) -> Any:
    """The run's own options, and what `wanted` has otherwise than usual."""
    if not (isinstance(own, dict) and isinstance(wanted, dict)) or (usual in (None, _UNSAID) and "_target_" in wanted):
        return own if wanted == usual else wanted
    before = usual if isinstance(usual, dict) else {}
    kept = {key: value for key, value in own.items() if key not in before and key not in wanted}
    changed = {key: _changed(own[key], before.get(key, _UNSAID), value) for key, value in wanted.items() if key in own}
    added = {key: value for key, value in wanted.items() if key not in own and before.get(key) != value}
    return kept | changed | added
