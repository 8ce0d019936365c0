"""Processes of one machine that train together end together, from their first moment on, and say why. Import-light.

Once a process group stands, its time-out tells of a process that is lost. Before that nobody would: one whose first
process has died waits for it at the rendezvous for as long as that may take.
"""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

log = logging.getLogger(__name__)

LAUNCHER = "PHIS_LAB_LAUNCHER"
"""The environment's variable that tells a launched process which process launched it."""

_POLL_S = 0.5
_GRACE_S = 5.0
"""For a process to end by itself, with a better reason than that another one has ended."""


def end_with_children(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """End this process, and the others that it launched, once one of them ends with another code than 0."""
    threading.Thread(target=_watch_children, args=(list(children),), daemon=True, name="watch-children").start()


def end_with_launcher() -> None:
    """End this process once the one that launched it is no more; nothing happens in a process that was not launched."""
    launcher = os.environ.get(LAUNCHER)
    if launcher is not None and launcher != str(os.getpid()):
        threading.Thread(target=_watch_launcher, args=(int(launcher),), daemon=True, name="watch-launcher").start()


def _watch_children(children: list[subprocess.Popen[bytes]]) -> None:
    while True:
        codes = [child.poll() for child in children]
        lost = next((rank for rank, code in enumerate(codes, 1) if code), None)
        if lost is not None:
            break
        if None not in codes:
            return
        time.sleep(_POLL_S)
    code = children[lost - 1].returncode
    time.sleep(_GRACE_S)
    log.error(
        "Process %d of %d, which train together, ended with %s; its own words are above. The others end too, and the "
        "same command goes on.",
        lost,
        len(children) + 1,
        f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}",
    )
    for child in children:
        child.kill()
    _leave()


def _watch_launcher(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_POLL_S)
    time.sleep(_GRACE_S)
    log.error("The process that started this one (%d) has ended, so this one ends too.", launcher)
    _leave()


def _leave() -> None:
    """End at once, wherever the main thread is: in a collective it would not hear of an exception."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(1)
