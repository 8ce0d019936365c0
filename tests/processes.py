"""Processes that a test runs side by side, as the ranks of a distributed run."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from typing import Any

import torch.multiprocessing as mp

IMPORTED = ["phis_lab.app", "phis_lab.metrics", "phis_lab.teachers.store", "small_arms"]
IMPORTED += ["phis_lab.commands.evaluate", "phis_lab.commands.export", "phis_lab.survey"]
"""What the ranks have imported when they begin: importing takes far longer than what they do."""


def fork_server() -> Any:
    """The context of processes that are forks of a server without threads, which imports the project once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # it does not ask for the path of this process
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def run_ranks(function: Callable[..., None], *arguments: Any, world: int = 2) -> None:
    """Call `function(rank, *arguments)` in `world` fresh processes; raise what one of them raises."""
    fork_server()
    mp.start_processes(function, arguments, nprocs=world, start_method="forkserver")


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
