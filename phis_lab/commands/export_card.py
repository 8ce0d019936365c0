"""The model card of an exported student: what it was made of, how well it does, and how it is loaded."""

import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from phis_lab.config.trust import untrusted
from phis_lab.reports.markup import escape_markdown
from phis_lab.runs import RunRecord
from phis_lab.spoken import spoken
from phis_lab.students.export_folder import Description
from phis_lab.visible import visible

FRONT = {
    "library_name": "phis-lab",
    "pipeline_tag": "image-feature-extraction",
    "license": "other",
    "license_name": "that-of-its-teachers",
    "tags": ["phis-lab", "distillation", "agglomerative", "vision-transformer"],
}
"""What the hub reads. Nothing of a run is in it, so no name can break it."""

USE = """```python
from phis_lab import load_student  # pip install 'phis-lab[lab]'
student = load_student("FOLDER")
tokens, teachers = student(images)  # images [batch, 3, height, width] in [0, 1]
```

From the hub, `PretrainedStudent.from_pretrained("OWNER/NAME")` of `phis_lab` is the same module. `tokens.summary` and
`tokens.spatial` are the student's own features; `teachers[NAME].summary` and `.spatial` are its predictions of a
teacher's, in the teacher's own space.
"""

LIMITS = """## Intended use

Features of images for retrieval, probing, dense prediction and further distillation, by research engineers who measure
them on their own data first. No head classifies anything, and nothing was tested about people, safety or fairness. What
the teachers learned from their data, wanted or not, is what the student was asked to match, and outside of the images
that it was trained on it may match badly.
"""


def card(record: RunRecord, config: Mapping[str, Any], description: Description) -> str:
    """Markdown with the hub's front matter.

    Args:
        record: of the run.
        config: of the run.
        description: of the student.
    """
    front = yaml.safe_dump(FRONT, sort_keys=False).strip()
    parts = [
        f"---\n{front}\n---",
        f"# {escape_markdown(record.name)}: {escape_markdown(record.method)}, seed {record.seed}",
        f"A vision transformer that was distilled, without labels, from {_counted(len(record.teachers))} with "
        f"phis\\_lab {escape_markdown(description.phis_lab)}. It takes images of {description.image_size} pixels.",
        *([_standardized(description)] if description.standardize else []),
        "## Use",
        USE.strip(),
        "## Teachers",
        _teachers(record, config),
        "A student's weights are made from its teachers' features: what their licences ask for can hold for it too.",
        "## Data",
        _data(record),
        "## Recipe",
        _recipe(record, description),
        "## Results",
        _results(record),
        LIMITS.strip(),
    ]
    return visible("\n\n".join(parts)) + "\n"


def licences(config: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """The licence of each teacher's weights, as its loader knows it; nothing of a stranger's is imported for it."""
    found = {}
    for name in names:
        option = (config.get("teachers") or {}).get(name)
        known = None
        if isinstance(option, Mapping) and "_target_" in option and not untrusted({"teachers": {name: option}}, ()):
            known = pkgutil.resolve_name(str(option["_target_"])).licence(option)
        found[name] = known or "not known to phis_lab: ask its publisher"
    return found


def _counted(teachers: int) -> str:
    return "a frozen teacher" if teachers == 1 else f"{teachers} frozen teachers"


def _standardized(description: Description) -> str:
    facts = description.standardize
    assert facts is not None
    return (
        f"Its tokens are standardised: {facts.method}, fitted on its own tokens of {facts.images} training images "
        f"({escape_markdown(facts.data)}), follows the final norm. Every channel has mean 0 and variance 1 on them."
    )


def _teachers(record: RunRecord, config: Mapping[str, Any]) -> str:
    licence = licences(config, record.teachers)
    return _table(
        ("teacher", "weights", "features", "licence"),
        [
            (
                name,
                f"{facts.get('source', '')}, sha256 {str(facts.get('sha256', ''))[:12]}",
                facts.get("layer", ""),
                licence[name],
            )
            for name, facts in record.teachers.items()
        ],
    )


def _data(record: RunRecord) -> str:
    data = record.data
    return (
        f"{escape_markdown(data.name)}, {data.train_images} training images, fingerprint "
        f"{escape_markdown(data.fingerprint[:12])}. No labels were used."
    )


def _recipe(record: RunRecord, description: Description) -> str:
    rows = [
        *sorted(record.choices.items()),
        ("student's options", ", ".join(f"{name}={value}" for name, value in description.backbone.items())),
        ("steps", record.steps),
        ("images seen", record.images),
        ("command", record.command),
        ("commit", record.commit),
        ("configuration", f"sha256 {record.config_sha256[:12]}"),
        ("trained on", ", ".join(record.trained_on) or str(record.device.get("name", "unknown"))),
    ]
    return _table(("what", "choice"), rows)


def _results(record: RunRecord) -> str:
    better = {True: "higher", False: "lower", None: "neither"}
    measured = [
        (name, spoken(metric.value), metric.unit, better[metric.higher_is_better])
        for name, metric in record.metrics.items()
    ]
    matched = [
        (f"{name}, {kind}", spoken(values["fidelity"]), "teacher's variance over the squared error", "higher")
        for name, kinds in record.teacher_metrics.items()
        for kind, values in kinds.items()
        if "fidelity" in values
    ]
    rows = [*measured, *matched]
    return _table(("measured", "value", "unit", "better"), rows) if rows else "Nothing was measured."


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, (":--",) * len(head), *(tuple(escape_markdown(str(cell)) for cell in row) for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
