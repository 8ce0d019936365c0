"""One process fills a run's folder at a time."""

import errno
import fcntl
import getpass
import json
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from phis_lab.folders import missing_folders, remove_empty

log = logging.getLogger(__name__)

LOCK_FILE = ".lock"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
"""What a link in a stranger's folder points to would be overwritten."""
_held: set[int] = set()


class RunLockedError(ValueError):
    """Another process fills the folder; the message says whose, where and which."""


def is_first_process() -> bool:
    """Whether this process writes: the only one, or rank 0 of those that train together."""
    return all(int(os.environ.get(name, "0")) == 0 for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold a run's folder, which is made if needed and removed again if nothing comes into it.

    The operating system holds the lock for as long as the process lives, so that a killed process leaves none; the
    file's content is for the message alone. Of processes that train together only the first one locks.

    Args:
        folder: of the run.

    Raises:
        RunLockedError: another process holds the folder.
        ValueError: the folder cannot be written.
    """
    if not is_first_process():
        yield
        return
    made = missing_folders(folder)
    path = folder / LOCK_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _acquire(path)
    except OSError as error:
        remove_empty(made)
        raise ValueError(f"{folder} cannot be written: {error.strerror}; make it writable or choose another") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while the lock is held, so that nobody else's is unlinked
        _held.discard(lock)
        os.close(lock)
        remove_empty(made)


def owner_of(folder: Path) -> str | None:
    """Who holds a run's folder, in words; None where nobody does, or a killed process left its file behind.

    Nothing is written. The lock is tried for a moment, shared, so that several can look at the same time.
    """
    try:
        lock = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK)
    except PermissionError:
        return "a process of another user"
    except OSError:  # there is none, or it is a link
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(lock)
    except OSError:  # this file system knows no locks
        return _read(lock) if _lives_here(lock) else None
    finally:
        os.close(lock)
    return None


def _lives_here(lock: int) -> bool:
    """Whether the process that a lock's file names is one of this machine that lives, or of another machine."""
    try:
        owner = json.loads(os.pread(lock, 4096, 0))
        if owner["host"] != platform.node():
            return True
        os.kill(int(owner["process"]), 0)
    except (ValueError, KeyError, TypeError, ProcessLookupError):
        return False
    except OSError:  # another user's
        return True
    return True


def _acquire(path: Path) -> int:
    """The descriptor of the locked file; a file that its last owner unlinked meanwhile does not count."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINK, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _read(lock)
            os.close(lock)
            raise RunLockedError(f"{path.parent} is in use by {owner}; wait for it or stop it") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(lock)
                raise
            log.warning("%s: this file system knows no locks; do not start the same run twice at once.", path.parent)
        if _is_same_file(lock, path):
            break
        os.close(lock)
    if os.fstat(lock).st_size:
        log.info("%s was left by %s, which has ended without a word; this process goes on.", path.parent, _read(lock))
    _held.add(lock)
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(_this_process()).encode(), 0)
    return lock


def _is_same_file(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False


def _this_process() -> dict[str, str | int]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container knows the number of its user, and no name
        user = str(os.getuid())
    started = datetime.now(UTC).replace(microsecond=0).isoformat()
    return {"user": user, "host": platform.node(), "process": os.getpid(), "started": started}


def _read(lock: int) -> str:
    """The owner in words."""
    try:
        owner = json.loads(os.pread(lock, 4096, 0))
        return f"process {owner['process']} of {owner['user']} on {owner['host']} since {owner['started']}"
    except (ValueError, KeyError, TypeError):  # read before its owner has written it
        return "another process"


def _let_go_in_child() -> None:
    """A forked worker shares the descriptors, and would keep a killed process' lock for as long as it lives."""
    for lock in _held:
        os.close(lock)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
