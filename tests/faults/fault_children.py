"""Processes in which something goes wrong: a kill, a signal or a full disk, at a moment that can be told again."""

import contextlib
import errno
import logging
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from processes import fork_server

Command = Callable[..., None]
"""Called as `command(rank, port, folder)`: what a user's command does, in its folder."""
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
HANGS_S = 300
"""A child that has not ended by then hangs: far longer than any takes on a slow machine."""


class Fault(NamedTuple):
    """What happens to a process, and when.

    Attributes:
        event: number of the change to a file of its folder, from 1 on, before which it happens; 0 for none.
        number: the signal that the process is sent there, or the errno that from there on every new file raises.
        full: whether `number` is an errno.
        seconds: after so many the parent sends the signal, where there is no event.
        most_bytes: no file grows beyond, as on a disk that fills up while it is written.
    """

    event: int = 0
    number: int = signal.SIGKILL
    full: bool = False
    seconds: float = 0.0
    most_bytes: int | None = None


class Ended(NamedTuple):
    """How processes ended: exit code of the first, what it raised in words, changes to files, and seconds."""

    code: int
    error: str
    changes: int
    seconds: float


def run_child(command: Command, folder: Path, fault: Fault | None = None, world: int = 1, port: int = 0) -> Ended:
    """Run a command in fresh processes; where the one that meets the fault dies, the others do too.

    That is the first for faults at a change to files, for it alone writes, and else the last.
    """
    context = fork_server()
    ours, theirs = context.Pipe(duplex=False)
    victim = 0 if fault is not None and not fault.seconds else world - 1
    processes = [
        context.Process(target=_child, args=(rank, command, folder, fault if rank == victim else None, theirs, port))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    theirs.close()
    try:
        return _watch(processes, processes[victim], ours, fault)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _watch(processes: list[Any], victim: Any, pipe: Connection, fault: Fault | None) -> Ended:
    begun = time.monotonic()
    heard: list[tuple[str, Any]] = []
    while victim.is_alive() or pipe.poll():
        if fault is not None and fault.seconds and time.monotonic() - begun > fault.seconds:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim.pid, fault.number)
            fault = None
        if pipe.poll(0.002):
            try:
                heard.append(pipe.recv())
            except EOFError:
                break
            if heard[-1][0] == "begun":
                begun = time.monotonic()
        assert time.monotonic() - begun < HANGS_S, "a process hangs"
    victim.join()
    if victim.exitcode >= 0:
        for process in processes:
            process.join(HANGS_S)
    with contextlib.suppress(EOFError):
        while pipe.poll():
            heard.append(pipe.recv())
    changes = max((value for kind, value in heard if kind == "changes"), default=0)
    said = [value for kind, value in heard if kind == "error"]
    codes = [victim.exitcode, *(process.exitcode for process in processes)]
    return Ended(next(filter(None, codes), 0), "\n".join(said), changes, time.monotonic() - begun)


def _child(rank: int, command: Command, folder: Path, fault: Fault | None, pipe: Connection, port: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    logging.disable()
    seen = Changes(folder, fault)
    sys.addaudithook(seen)
    if fault is not None and fault.most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.most_bytes, resource.RLIM_INFINITY))
    pipe.send(("begun", None))
    try:
        command(rank, port, folder)
    except Exception:
        pipe.send(("error", traceback.format_exc()))
        sys.exit(1)
    finally:
        pipe.send(("changes", seen.count))


class Changes:
    """Counts what a process is about to change below a folder, as the interpreter tells it, and is the fault."""

    def __init__(self, folder: Path, fault: Fault | None) -> None:
        self.root, self.fault, self.count = str(folder), fault, 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_open = event == "open"
        if not (is_open or event in CHANGES) or not str(arguments[0]).startswith(self.root):
            return
        if is_open and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        self.count += 1
        if self.fault is None or not self.fault.event or self.count < self.fault.event:
            return
        if not self.fault.full:
            if self.count == self.fault.event:
                os.kill(os.getpid(), self.fault.number)
        elif is_open or event == "os.mkdir":
            raise OSError(self.fault.number, os.strerror(errno.ENOSPC), str(arguments[0]))
