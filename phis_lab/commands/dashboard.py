"""`phis-lab dashboard`: a study's panels in W&B, as a workspace and as a report, or what they would be."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from phis_lab.refusals import one_line
from phis_lab.reports.panels import Panel, PanelSection, sections_of, told_below
from phis_lab.runs.loggers.keys import has_wandb_key
from phis_lab.runs.loggers.numbers import NAME_LENGTH, shortened
from phis_lab.whole_files import read_text

PROJECT = "phis-lab"
_DRAWN = {"__id__", "id", "createdAt", "updatedAt"}


class Dashboard(NamedTuple):
    """What is made of a study.

    Attributes:
        project: in W&B.
        entity: the user or team; None where nobody said, and then it is the account's own.
        studies: whose runs are shown; they are the groups of W&B.
        sections: panels by question.
    """

    project: str
    entity: str | None
    studies: list[str]
    sections: list[PanelSection]

    @property
    def title(self) -> str:
        """Of the workspace and of the report."""
        return shortened(f"Methods of {', '.join(self.studies)}", NAME_LENGTH)

    @property
    def runs(self) -> str:
        """The filter of the runs that are shown."""
        groups = [shortened(study, NAME_LENGTH) for study in self.studies]
        return f"Metric('Group') in {groups!r} and Metric('JobType') == 'train'"


def dashboard_of(folder: Path, project: str | None = None, entity: str | None = None) -> Dashboard:
    """The dashboard of the runs below a folder, in the project that they were logged to.

    Args:
        folder: a run, a study, or many of them.
        project: another one.
        entity: another one.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: no run below it is complete, or they were logged to several projects.
    """
    told = told_below(folder)
    places = {place for run in told.records if (place := _place_of(run)) is not None}
    projects, entities = {place[0] for place in places}, {place[1] for place in places}
    for word, found, given in (("project", projects, project), ("entity", entities, entity)):
        if given is None and len(found) > 1:
            names = ", ".join(sorted(map(str, found)))
            raise ValueError(f"the runs below {folder} were logged to several: {names}; choose one with --{word}")
    return Dashboard(
        project or next(iter(projects), PROJECT),
        entity or next(iter(entities), None) or os.environ.get("WANDB_ENTITY"),
        told.studies,
        sections_of(told),
    )


def specification(made: Dashboard) -> dict[str, Any]:
    """What W&B would be told of the workspace and of the report, without the random names of their panels."""
    return {"workspace": _plain(workspace_of(made)), "report": _plain(report_of(made))}


def save(made: Dashboard) -> dict[str, str]:
    """Make both in W&B; their addresses by name.

    Raises:
        ValueError: W&B cannot be reached, or refuses.
    """
    try:
        if made.entity is None:
            from phis_lab.runs.loggers.wandb import default_entity  # noqa: PLC0415  slow

            made = made._replace(entity=default_entity())
        workspace, report = workspace_of(made).save(), report_of(made, is_there=True)
        report.save()
        return {"workspace": workspace.url, "report": report.url}
    except ModuleNotFoundError:
        raise
    except Exception as error:  # of any kind: a key, a project that is not there, a proxy, a preview that changed
        raise ValueError(
            f"W&B did not take the dashboard of {made.entity}/{made.project}: {one_line(error)}; send the runs first "
            "(`wandb sync`), name the project with --project and --entity, or add --show to see what would be made"
        ) from error


def why_offline() -> str:
    """Why W&B is not asked, in a clause; empty where it is."""
    mode = os.environ.get("WANDB_MODE", "online")
    if mode not in {"online", "shared", "run"}:
        return f"WANDB_MODE is {mode}"
    return "" if has_wandb_key() else "no key of it is known; after `wandb login` this command makes both"


def workspace_of(made: Dashboard) -> Any:
    """A view of the project: a section of panels for each question, over the study's runs by method."""
    ws, _ = _workspaces()
    sections = [
        ws.Section(name=section.title, panels=[_panel(panel) for panel in section.panels], is_open=True)
        for section in made.sections
    ]
    return ws.Workspace(
        entity=made.entity or "",
        project=made.project,
        name=made.title,
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis="step"),
        runset_settings=ws.RunsetSettings(filters=made.runs, groupby=[_by_method()]),
    )


def report_of(made: Dashboard, is_there: bool = False) -> Any:
    """A report of the same panels, with a sentence to each section.

    Args:
        made: the dashboard.
        is_there: whether the project is; W&B is then asked for it.
    """
    _, wr = _workspaces()
    place = {"entity": made.entity, "project": made.project} if is_there else {}
    blocks: list[Any] = [wr.TableOfContents()]
    for section in made.sections:
        runs = wr.Runset(name=", ".join(made.studies), filters=made.runs, groupby=["config.method"], **place)
        grid = wr.PanelGrid(runsets=[runs], panels=[_panel(panel) for panel in section.panels])
        blocks += [wr.H1(section.title), wr.P(section.about), grid]
    return wr.Report(
        entity=made.entity or "",
        project=made.project,
        title=made.title,
        description="Normalisers, losses and balancers compared; made by `phis-lab dashboard`.",
        blocks=blocks,
        width="fluid",
    )


def _panel(panel: Panel) -> Any:
    _, wr = _workspaces()
    by_method = {"groupby": wr.Config("method"), "groupby_aggfunc": "mean", "groupby_rangefunc": "stddev"}
    kinds: dict[str, Callable[[], Any]] = {
        "lines": lambda: wr.LinePlot(
            title=panel.title,
            x="RelativeTime(Process)" if panel.metrics[0].startswith("system/") else "step",
            y=list(panel.metrics),
            log_y=panel.log_y or None,
            **by_method,
        ),
        "bars": lambda: wr.BarPlot(title=panel.title, metrics=list(panel.metrics), **by_method),
        "table": lambda: wr.WeavePanelSummaryTable(table_name=panel.metrics[0], layout=wr.Layout(w=24, h=10)),
        "images": lambda: wr.MediaBrowser(title=panel.title, media_keys=list(panel.metrics)),
    }
    return kinds[panel.kind]()


def _by_method() -> Any:
    from wandb_workspaces import expr  # noqa: PLC0415

    return expr.Config("method")


def _plain(thing: Any) -> Any:
    return _unnamed(thing._to_model().model_dump(by_alias=True, exclude_none=True, mode="json"))


def _unnamed(value: Any) -> Any:
    """Without the names that the package draws at random, and times."""
    if isinstance(value, dict):
        return {
            key: _unnamed(child)
            for key, child in value.items()
            if key not in {"__id__", "id", "createdAt", "updatedAt"}
        }
    return [_unnamed(child) for child in value] if isinstance(value, list) else value


def _place_of(run: Path) -> tuple[str, str | None] | None:
    """Project and entity that a run was logged to; None where it was not, or its configuration cannot be read."""
    try:
        config = yaml.safe_load(read_text(run / "config.yaml"))
        node = next(node for node in config["logger"].values() if "project" in node and "entity" in node)
        return str(node["project"]), node["entity"]
    except (OSError, ValueError, yaml.YAMLError, StopIteration, TypeError, KeyError, AttributeError):
        return None


def _workspaces() -> tuple[Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as wr  # noqa: PLC0415  an extra, and slow to import
        import wandb_workspaces.workspaces as ws  # noqa: PLC0415
    except ImportError as error:
        raise ModuleNotFoundError(
            f"dashboards need wandb-workspaces ({error}): pip install 'phis-lab[dashboards]'"
        ) from error
    return ws, wr


def rows(sections: Iterable[PanelSection]) -> list[tuple[str, str, str, str]]:
    """Section, kind, title and metrics of every panel, for a table."""
    return [
        (section.title if place == 0 else "", panel.kind, panel.title, "\n".join(panel.metrics))
        for section in sections
        for place, panel in enumerate(section.panels)
    ]
