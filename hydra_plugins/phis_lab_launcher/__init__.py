"""The launcher `shared_teachers`: jobs of a sweep that see the same batches train off one teacher pass.

Hydra imports this module at every start, so it imports nothing heavy; the work is in `phis_lab.runs`.
"""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

log = logging.getLogger("phis_lab.launcher")


@dataclass
class SharedTeachersConf:
    """Option file of the launcher."""

    _target_: str = "hydra_plugins.phis_lab_launcher.SharedTeachersLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="shared_teachers", node=SharedTeachersConf, provider="phis_lab"
)


class SharedTeachersLauncher(Launcher):
    """Turns the jobs of `python run.py -m ...` into groups of arms."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what `launch` needs."""
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Compose every job, then train the groups."""
        from phis_lab.config.sound import refuse_empty_sweep, refuse_ineffective, remarks  # noqa: PLC0415

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        try:
            if not job_overrides:
                refuse_empty_sweep(self.config, self.hydra_context.config_loader)
            configs = [self._compose(overrides, initial_job_idx + i) for i, overrides in enumerate(job_overrides)]
            for config in configs:
                refuse_ineffective(config)
        except ValueError as error:
            sys.exit(f"\n{error}")
        from phis_lab import app  # noqa: PLC0415  heavy: only when something is to be trained
        from phis_lab.config.jobs import create_job  # noqa: PLC0415

        for remark in dict.fromkeys(remark for config in (self.config, *configs) for remark in remarks(config)):
            log.warning("%s.", remark)
        jobs = [create_job(config, Path(config.hydra.sweep.dir) / config.hydra.sweep.subdir) for config in configs]
        failures = app.train_sweep(jobs)
        return [self._returned(job, failures.get(job.folder)) for job in jobs]

    def _compose(self, overrides: Sequence[str], number: int) -> DictConfig:
        from phis_lab.config.refused import refused_by_hydra  # noqa: PLC0415
        from phis_lab.config.sound import refuse_unsound  # noqa: PLC0415

        with refused_by_hydra(overrides):
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        refuse_unsound(config)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config

    @staticmethod
    def _returned(job: "Job", error: Exception | None) -> JobReturn:  # type: ignore[name-defined]
        status = JobStatus.COMPLETED if error is None else JobStatus.FAILED
        return JobReturn(overrides=job.overrides, status=status, _return_value=error or str(job.folder))
