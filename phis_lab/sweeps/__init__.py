"""Sweeps: jobs that see the same batches become arms of one process."""

from phis_lab.sweeps.grouping import group_jobs
from phis_lab.sweeps.launch import launch

__all__ = ["group_jobs", "launch"]
