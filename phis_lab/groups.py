"""What each config group is for, in one table, which runs, reports and the command line all ask.

A group is a folder of `conf/`, whose files are the options that one can choose. Import-light, and known to every room.
"""

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a group or an option is to a run.

    Args:
        of: who chooses it: an "arm", which is trained with it; a "run", which needs it beside the training; or a
            "process", all of whose arms have it in common.
        identifies: whether it enters the hash that names a run's folder. It does unless it says only where a run is
            written, or how it is called, watched and made fast. What has no node of its own enters by what it sets.
        method: whether runs that differ in it are different methods in a table.
        interpolated: whether it is read only where another option takes its value from it.
    """

    of: Literal["arm", "run", "process"] = "process"
    identifies: bool = True
    method: bool = True
    interpolated: bool = False


@dataclass(frozen=True, kw_only=True)
class ConfigGroup(Facts):
    """What one group of options is to a run.

    Args:
        usual: the option that a run has unless another is chosen; None where it can do without one.
        names: whether the choice is a word of the name of a run's folder; the order is that of the table.
        titles: whether the choice is a word of the method's label in a table, always or where it is not the usual one.
        holds: what an option is: one "part", several "parts" by name, "values", a "member" of another node, or
            "choices" of other groups.
        place: the node of another group into which an option can be put, instead of its own or besides.
        afterwards: whether it can be chosen anew for a run that has ended.
    """

    usual: str | None = None
    names: bool = False
    titles: Literal["always", "unusual", "never"] = "never"
    holds: Literal["part", "parts", "values", "member", "choices"] = "part"
    place: str | None = None
    afterwards: bool = False


GROUPS: Mapping[str, ConfigGroup] = {
    "normalizer": ConfigGroup(usual="phis", of="arm", names=True, titles="always"),
    "loss": ConfigGroup(usual="mse", of="arm", names=True, titles="unusual"),
    "balancer": ConfigGroup(usual="uniform", of="arm", names=True, titles="unusual"),
    "head": ConfigGroup(usual="mlp", of="arm", titles="unusual"),
    "student": ConfigGroup(usual="pocket_vit", of="arm"),
    "optimizer": ConfigGroup(usual="adamw", of="arm"),
    "teachers": ConfigGroup(usual="pocket_set", names=True, holds="parts"),
    "teacher": ConfigGroup(holds="member", place="teachers"),
    "data": ConfigGroup(usual="fashion_mnist", names=True, place="evaluation.data"),
    "augmentation": ConfigGroup(usual="crop_flip"),
    "estimation": ConfigGroup(usual="online"),
    "stages": ConfigGroup(holds="values"),
    "evaluation": ConfigGroup(usual="probes", afterwards=True),
    "task": ConfigGroup(holds="member", place="evaluation.tasks", afterwards=True),
    "transfer": ConfigGroup(holds="parts", afterwards=True, interpolated=True),
    "segmentation": ConfigGroup(afterwards=True, interpolated=True),
    "trainer": ConfigGroup(usual="pocket", method=False),
    "strategy": ConfigGroup(usual="single", identifies=False, method=False),
    "logger": ConfigGroup(usual="csv", of="run", identifies=False, method=False, holds="parts"),
    "paths": ConfigGroup(usual="default", of="run", identifies=False, method=False, holds="values"),
    "scale": ConfigGroup(holds="choices"),
    "experiment": ConfigGroup(holds="choices", method=False),
    "sweep": ConfigGroup(holds="choices", method=False),
    "debug": ConfigGroup(holds="choices", method=False),
}
"""Every folder of `conf/`. The usual options are those of `conf/config.yaml`."""

ABOUT: Mapping[str, str] = {
    "normalizer": "How each teacher's features are transformed before the student matches them.",
    "loss": "How a prediction is compared with its target.",
    "balancer": "How the losses of all teachers become one number.",
    "head": "What turns the student's tokens into the prediction for one teacher.",
    "student": "The backbone that is trained.",
    "optimizer": "How an arm is optimised, and at which rate.",
    "teachers": "The set of frozen networks that a student is asked to match.",
    "teacher": "One frozen network, to put into a set: teacher@teachers.NAME=OPTION.",
    "data": "The images to train on, and with evaluation.data=OPTION those to evaluate with.",
    "augmentation": "How an image is rendered for each view of it.",
    "estimation": "How and when the teachers' statistics are gathered.",
    "stages": "Stretches of training with image sizes, batches and teachers of their own.",
    "evaluation": "What of a student is measured, how often, and on how many images.",
    "task": "A further measurement with data of its own, to put into the evaluation.",
    "transfer": "The data sets of task=transfer.",
    "segmentation": "The images with masks of task=dense.",
    "trainer": "How many steps are trained, on which device and in which precision.",
    "strategy": "Over how many processes and machines a run is spread.",
    "logger": "Where the numbers of a run can be watched.",
    "paths": "Where runs are written.",
    "scale": "A preset of sizes and lengths, from minutes on two cores to those of the papers.",
    "experiment": "A row of a paper's table: a choice of all the parts that it is made of.",
    "sweep": "Several runs that are compared with one another, for use with -m.",
    "debug": "A preset that makes any command a matter of seconds.",
}
"""What is chosen by each group, in a sentence."""

OPTIONS: Mapping[str, Facts] = {
    "seed": Facts(of="run", identifies=False, method=False),
    "label": Facts(of="run", identifies=False, method=False),
    "hydra": Facts(of="run", identifies=False, method=False),
    "online": Facts(identifies=False, interpolated=True),  # stands in `estimation`, where that is read
    "data.timeout_s": Facts(identifies=False),
    "data.workers": Facts(identifies=False),
    "estimation.save": Facts(identifies=False),
    "teachers.microbatch": Facts(identifies=False, method=False),
    "evaluation.data.seed": Facts(of="run", identifies=False),  # of an order that evaluations do not draw
    "evaluation.data.timeout_s": Facts(identifies=False),
    "evaluation.data.workers": Facts(identifies=False),
    "trainer.accelerator": Facts(identifies=False, method=False),
    "trainer.checkpoint_every": Facts(identifies=False, method=False),
    "trainer.compile": Facts(of="arm"),
    "trainer.log_every": Facts(identifies=False, method=False),
    "trainer.memory_gb": Facts(identifies=False, method=False),
    "trainer.microbatch": Facts(identifies=False, method=False),
    "trainer.precision": Facts(of="arm"),
    "trainer.target_products": Facts(of="arm"),
    "trainer.step_timeout": Facts(identifies=False, method=False),
}
"""Options that are in no group, or are otherwise than their group."""


def facts(key: str) -> Facts:
    """What an option is to a run.

    Args:
        key: as on a command line: a group, a group with a place (`teacher@teachers.xfeat`), or a dotted option.

    Returns:
        The row of the option itself, or else of the nearest one that holds it.
    """
    words = re.split(r"[./]", key.partition("@")[0])
    for count in range(len(words), 0, -1):
        path = ".".join(words[:count])
        if found := OPTIONS.get(path) or GROUPS.get(path):
            return found
    return Facts()


def without(config: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """A copy of a configuration in which some options are not, by their dotted names."""
    left = copy.deepcopy(dict(config))
    for path in paths:
        *sections, key = path.split(".")
        node: Any = left
        for section in sections:
            node = node.get(section) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(key, None)
    return left


_ROWS: Mapping[str, Facts] = {**GROUPS, **OPTIONS}

NAMING = tuple(name for name, group in GROUPS.items() if group.names)
"""Groups whose choices name a run's folder."""

NEEDED = tuple(name for name, group in GROUPS.items() if group.usual is not None)
"""Groups of which a run has an option in any case."""

PLACES = tuple(group.place for group in GROUPS.values() if group.place is not None)
"""Nodes that hold what is chosen from another group than their own."""

NOT_CONTENT = tuple(name for name, row in _ROWS.items() if not row.identifies)
"""Nodes and options that do not enter a run's hash."""

NOT_SHARED = tuple(name for name, row in _ROWS.items() if row.of != "process")
"""Nodes and options in which the arms of one process may differ."""
