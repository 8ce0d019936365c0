"""Slurm, as a process finds it: the step that it is a task of, and its job's place in the queue. Import-light."""

import logging
import os
import re
import signal
import subprocess
from typing import NamedTuple

log = logging.getLogger(__name__)

WARNINGS = ("SIGUSR1", "SIGUSR2")
"""Signals that a job asks for ahead of its time limit (`sbatch --signal`); SIGTERM may be a user's `scancel`."""

_SHELLS = ("bash", "interactive")
_PORTS = range(15000, 25000)


class Step(NamedTuple):
    """The tasks that one `srun` has started, and which of them this process is."""

    tasks: int
    machines: int
    rank: int
    rank_on_machine: int
    machine: int
    first_machine: str
    port: int
    """At which the tasks meet: another one for every step of a job, and for jobs that share a machine."""


def this_step() -> Step | None:
    """The step that this process is a task of.

    None outside of Slurm, in the script of `sbatch` and the shell of `salloc`, where `srun` was not called, and in
    a shell that `srun --pty` has opened.
    """
    if "SLURM_NTASKS" not in os.environ or ("SLURM_JOB_ID" in os.environ and "SLURM_STEP_ID" not in os.environ):
        return None
    tasks = _number("STEP_NUM_TASKS", _number("NTASKS", 1))
    if tasks == 1 and ("SLURM_PTY_PORT" in os.environ or os.environ.get("SLURM_JOB_NAME") in _SHELLS):
        return None
    return Step(
        tasks=tasks,
        machines=_number("STEP_NUM_NODES", _number("NNODES", 1)),
        rank=_number("PROCID", 0),
        rank_on_machine=_number("LOCALID", 0),
        machine=_number("NODEID", 0),
        first_machine=_first(os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_NODELIST", "127.0.0.1")),
        port=_PORTS[(_number("JOB_ID", 0) + 101 * _number("STEP_ID", 0)) % len(_PORTS)],
    )


def _number(name: str, otherwise: int) -> int:
    return int(os.environ.get(f"SLURM_{name}", otherwise))


def _first(machines: str) -> str:
    """The first name of Slurm's list: `gpu[03-07,12],login` begins with `gpu03`."""
    return re.sub(r"\[(\w+)[^]]*\]", r"\1", machines).split(",")[0]


def hand_over(number: int) -> None:
    """Give a signal that has stopped the run to whom it was meant for, now that its checkpoint is written.

    Submitit listens for its own and requeues the job, or ends it with a reason. Otherwise a warning ahead of the time
    limit puts a Slurm job into the queue again, unless `sbatch --no-requeue` forbids it.

    Args:
        number: of the signal.
    """
    if number not in signal.valid_signals():  # somebody's own exit code
        return
    listener = signal.getsignal(number)
    if callable(listener) and listener is not signal.default_int_handler:
        signal.raise_signal(number)
    elif signal.Signals(number).name in WARNINGS and "SLURM_JOB_ID" in os.environ:
        _requeue(os.environ["SLURM_JOB_ID"])


def _requeue(job: str) -> None:
    try:
        command = ["scontrol", "requeue", job]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        reason = done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        log.warning("Slurm did not put job %s into the queue again (%s); submit the same command again.", job, reason)
    else:
        log.warning("Job %s is in Slurm's queue again and will go on from the checkpoint.", job)
