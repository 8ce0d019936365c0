"""Runs: jobs, which of them share a teacher pass, their folders, and what they leave behind (`result.json`)."""

from phis_lab.runs.environment import Environment, environment, git_commit
from phis_lab.runs.job import group_jobs
from phis_lab.runs.launch import launch
from phis_lab.runs.progress import RunProgress, read_progress, write_progress
from phis_lab.runs.record import (
    Data,
    HistoryPoint,
    Metric,
    RunRecord,
    Source,
    TeacherMetrics,
    find_records,
    read_record,
    read_records,
    unfinished_runs,
    write_record,
)

__all__ = [
    "Data",
    "Environment",
    "HistoryPoint",
    "Metric",
    "RunProgress",
    "RunRecord",
    "Source",
    "TeacherMetrics",
    "environment",
    "find_records",
    "git_commit",
    "group_jobs",
    "launch",
    "read_progress",
    "read_record",
    "read_records",
    "unfinished_runs",
    "write_progress",
    "write_record",
]
