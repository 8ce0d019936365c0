"""Processes that a test runs side by side, as the ranks of a distributed run."""

import multiprocessing
import socket
from collections.abc import Callable
from typing import Any

import torch.multiprocessing as mp

IMPORTED = ["phis_lab.app", "phis_lab.metrics", "phis_lab.teachers.store"]
"""What the ranks have imported when they begin: importing takes far longer than what they do."""


def run_ranks(function: Callable[..., None], *arguments: Any, world: int = 2) -> None:
    """Call `function(rank, *arguments)` in `world` fresh processes; raise what one of them raises.

    They are forks of a server without threads, which imports the project once for all of a worker's tests.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(IMPORTED)
    mp.start_processes(function, arguments, nprocs=world, start_method="forkserver")


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
