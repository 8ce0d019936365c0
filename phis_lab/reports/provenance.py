"""Where the numbers of a study come from, and what a reader should be warned of."""

from collections import defaultdict
from collections.abc import Iterable

from phis_lab.reports.markup import escape_markdown
from phis_lab.reports.sheets import MOST_NAMES
from phis_lab.reports.studies import Study
from phis_lab.reports.tables import columns, measurements
from phis_lab.runs import Data, RunRecord
from phis_lab.visible import in_one_line

_COMMANDS = 3


def provenance(study: Study) -> list[str]:
    """Markdown lines: data, teachers, budget, seeds, commits, machines and commands."""
    typed = commands(study)
    more = [f"... and {len(typed) - _COMMANDS} more"] if len(typed) > _COMMANDS else []
    return [
        *(f"- {name}: {escape_markdown(fact)}" for name, fact in origin(study).items()),
        "- commands:",
        "",
        *(f"      {in_one_line(line)}" for line in [*typed[:_COMMANDS], *more]),
    ]


def origin(study: Study) -> dict[str, str]:
    """What the numbers of a study come from, by what it is called."""
    first = study.records[0]
    seeds = sorted({record.seed for record in study.records})
    teachers = [f"{name} ({facts.get('source', 'unknown')})" for name, facts in first.teachers.items()]
    measured = {} if first.evaluation_data is None else {"probes and tasks": _images(first.evaluation_data)}
    return {
        "data": _images(first.data),
        **measured,
        "teachers": ", ".join(teachers),
        "budget": f"{first.steps:,} steps, {first.images:,} images seen",
        "seeds": f"{', '.join(map(str, seeds))}; {_spread_meaning(len(seeds))}",
        "commits": ", ".join(_distinct(record.commit for record in study.records)),
        "machines": ", ".join(_distinct(machine(record) for record in study.records)),
        "torch": ", ".join(_distinct(record.versions.get("torch", "?") for record in study.records)),
    }


def commands(study: Study) -> list[str]:
    """What was typed for the runs of a study, each once."""
    return _distinct(record.command for record in study.records)


def machine(record: RunRecord) -> str:
    """The GPU of a run, or else its CPU."""
    return str(record.device.get("gpu", record.device.get("cpu", "unknown")))


def _images(data: Data) -> str:
    return (
        f"{data.name}, fingerprint {data.fingerprint[:16]}, "
        f"{data.train_images:,} training and {data.test_images:,} test images"
    )


def caveats(study: Study) -> list[str]:
    """What makes a comparison of this study weaker than it looks."""
    found = []
    seeds = defaultdict(set)
    for record in study.records:
        seeds[record.method].add(record.seed)
    if len({frozenset(s) for s in seeds.values()}) > 1:
        counts = ", ".join(f"{method}: {sorted(s)}" for method, s in sorted(seeds.items()))
        found.append(f"The methods were not run with the same seeds ({counts}); only shared seeds are paired.")
    if len(commits := _distinct(record.commit for record in study.records)) > 1:
        found.append(f"The runs are of {len(commits)} different commits.")
    if any(commit.endswith("+dirty") for commit in commits):
        found.append("Some runs were made with uncommitted changes (+dirty).")
    if differing := _differing_sources(study):
        found.append(f"Not all runs are of the same {', '.join(differing)}.")
    if corrupt := sum(record.corrupt_images for record in study.records):
        found.append(f"{corrupt} corrupt images were left out.")
    numbers = measurements(study.records)
    methods = numbers.groupby("metric")["method"].nunique()
    judged = [name for name, column in columns(study.records).items() if column.judged]
    partly = [name for name in judged if methods[name] < len(seeds)]
    if partly:
        more = f" and {len(partly) - MOST_NAMES} more" if len(partly) > MOST_NAMES else ""
        found.append(f"Not every method has {', '.join(partly[:MOST_NAMES])}{more}: these metrics are not ranked.")
    return found


def _differing_sources(study: Study) -> list[str]:
    """What has the same name in several runs and another content: code or files that were edited between them."""
    contents = defaultdict(set)
    for record in study.records:
        for name, source in record.sources.items():
            contents[name].add(source.sha256)
    return [name.removeprefix("the ") for name, sha256s in contents.items() if len(sha256s) > 1]


def _spread_meaning(seeds: int) -> str:
    return "± is the sample standard deviation over seeds" if seeds > 1 else "one seed: no spread, no interval"


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
