"""The figures of one study: from its records alone, and from its teachers and trained students."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from phis_lab.config.jobs import finished_job, rebuild, restore
from phis_lab.engine import Group, Run
from phis_lab.figures.activations import activation_histograms
from phis_lab.figures.collect import TeacherSurvey, TestFeatures, channel_losses, count_activations
from phis_lab.figures.teacher_spaces import teacher_spaces
from phis_lab.figures.training import loss_distributions, teacher_errors
from phis_lab.normalizers import PhiS
from phis_lab.refusals import REFUSALS
from phis_lab.reports import Study
from phis_lab.reports.sections import Section, matching_history
from phis_lab.reports.style import looks
from phis_lab.runs import group_jobs
from phis_lab.runs.job import Job

BASELINE = "identity"

Save = Callable[[str, Figure], None]
"""Keeps a figure under a name."""
Folders = Mapping[tuple[str, int], Path]
"""Folder of a run, by the hash of its configuration and its seed."""


class StudyFigures:
    """Draws what comparable runs give, and remembers why something could not be drawn.

    Args:
        study: the runs.
        folders: where they lie.
        images: at most so many test images for figures 1, 2 and 9.
        save: is given each figure with its name.
        trusted: modules that the runs may name beside the shipped configuration.
    """

    def __init__(self, study: Study, folders: Folders, images: int, save: Save, trusted: Sequence[str] = ()) -> None:
        self.study, self.images, self.save, self.trusted = study, images, save, trusted
        present = any(record.method == BASELINE for record in study.records)
        self.methods = Section(study, BASELINE if present else None).methods
        self.arms = {method: folders[self._first(method)] for method in self.methods}
        self.left_out: list[str] = []

    def draw(self) -> list[str]:
        """All of them; returns what could not be drawn, and why."""
        self._errors()
        losses: dict[str, dict[str, Tensor]] = {}
        drawn = False
        for jobs in group_jobs(self._jobs()):
            try:
                features = TestFeatures(rebuild(jobs, self.trusted), self.images)
                if not drawn:
                    self._teachers(features)
                    drawn = True
                losses |= self._losses(features)
            except REFUSALS as reason:
                self.left_out.append(f"figures 1, 2 and 9 of {len(jobs)} runs: {reason}")
        if losses:
            self.save("figure9_losses", loss_distributions({m: losses[m] for m in self.methods if m in losses}))
        return self.left_out

    def _first(self, method: str) -> tuple[str, int]:
        """The run with the lowest seed, which stands for its method in figure 9."""
        first = min((r for r in self.study.records if r.method == method), key=lambda record: record.seed)
        return first.config_sha256, first.seed

    def _errors(self) -> None:
        history = matching_history(self.study, "mse")
        history = history[(history["value"] > 0) & (history["value"] < float("inf"))]
        if history["step"].nunique() < 2:
            self.left_out.append("figure 3: only the end was evaluated; with evaluation.every=STEPS a run has a curve")
        else:
            self.save("figure3_teacher_errors", teacher_errors(history, looks(self.methods)))

    def _jobs(self) -> list[Job]:
        found = []
        for method, folder in self.arms.items():
            try:
                found.append(finished_job(folder))
            except REFUSALS as reason:
                self.left_out.append(f"figure 9, {method}: {reason}")
        return found

    def _teachers(self, features: TestFeatures) -> None:
        survey = TeacherSurvey(features)
        fitted = {name: PhiS(moments.dim).fit(moments).cpu() for name, moments in survey.moments.items()}
        self.save("figure1_teacher_spaces", teacher_spaces(survey.samples, fitted))
        self.save("figure2_activations", activation_histograms(count_activations(features, survey.moments)))

    def _losses(self, features: TestFeatures) -> dict[str, dict[str, Tensor]]:
        named = {folder: method for method, folder in self.arms.items()}
        trained = [run for run in features.group.runs if self._restored(features.group, run, named[run.folder])]
        losses = channel_losses(features, trained)
        return {named[run.folder]: losses[run.key] for run in trained}

    def _restored(self, group: Group, run: Run, method: str) -> bool:
        try:
            restore(group, run)
        except REFUSALS as reason:
            self.left_out.append(f"figure 9, {method}: {reason}")
            return False
        return True
