"""Batches from other processes, which can neither freeze nor die without a word."""

import atexit
import multiprocessing
import signal
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from phis_lab.data.sampler import Key

Collated = TypeVar("Collated")
_BETWEEN = -1
_LOOK_EVERY = 5
"""Seconds after which the processes are looked at while a batch is waited for."""

_WORKERS: "weakref.WeakSet[Any]" = weakref.WeakSet()


class WorkerError(ValueError):
    """A process that loads images gave no answer."""


class Workers(Generic[Collated]):
    """Yields batches in order, made in this process or in others.

    Args:
        images: samples by key.
        batches: the keys of each batch; asked for anew by every pass.
        collate: makes a batch of its samples.
        count: processes; 0 makes the batches in this one.
        timeout_s: seconds after which a batch that other processes make is no longer waited for.
        image_name: what an error calls the image of an index.
        persistent: keep the processes for the next pass.
        pinned: put batches where a GPU copies them from.
    """

    def __init__(
        self,
        images: Dataset[Any],
        batches: Iterable[Sequence[Key]],
        collate: Callable[[list[Any]], Collated],
        count: int,
        timeout_s: int,
        image_name: Callable[[int], str],
        persistent: bool = False,
        pinned: bool = False,
    ) -> None:
        self.timeout_s, self.image_name = timeout_s, image_name
        self._watched = _Watched(images, count)
        self._loader: DataLoader[Any] = DataLoader(
            self._watched,
            batch_sampler=batches,  # type: ignore[arg-type]  # keys are pairs
            collate_fn=collate,
            num_workers=count,
            timeout=_LOOK_EVERY if count else 0,
            worker_init_fn=_leave_signals_to_the_run,
            persistent_workers=persistent and count > 0,
            pin_memory=pinned,
            generator=torch.Generator(),  # or the loader would draw from the global stream
        )

    def __iter__(self) -> Iterator[Collated]:
        """Yield the batches.

        Raises:
            WorkerError: a worker froze, or was killed.
        """
        made = self._begun()
        workers = getattr(made, "_workers", ())
        while True:
            late = threading.Event()
            alarm = threading.Timer(self.timeout_s, _kill, [workers, late])
            try:
                if workers:
                    alarm.start()
                batch: Collated = _next(made, late)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:
                if not late.is_set() and all(worker.is_alive() for worker in workers):
                    raise  # what a worker, or a sample in this process, raised
                reason = f"no batch came within data.timeout_s={self.timeout_s}" if late.is_set() else "one has died"
                told = self._told(reason)
                self._loader._iterator = None
                if workers:
                    made._shutdown_workers()
                raise WorkerError(told) from error
            finally:
                alarm.cancel()
            yield batch

    def _begun(self) -> Any:
        """Begin a pass, without torch's handler of SIGCHLD: it raises in whatever runs when a worker dies.

        An arm's step would be taken for what broke. Dead workers are found where their batch is waited for.
        """
        before = signal.getsignal(signal.SIGCHLD)
        made: Any = iter(self._loader)
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)
        for worker in getattr(made, "_workers", ()):
            worker.terminate = worker.kill  # torch terminates those that do not end when asked, as frozen ones do
            _WORKERS.add(worker)
        return made

    def _told(self, reason: str) -> str:
        names = [self.image_name(index) for index in self._watched.at.tolist() if index != _BETWEEN]
        return (
            f"the processes that load images gave no answer ({reason}) while they were at "
            f"{', '.join(names) or 'no image'}; look at these files, at their disk and at the memory that is free, "
            "raise data.timeout_s where they are slow, or set data.workers=0"
        )


class _Watched(Dataset[Any]):
    """Samples, and in memory that the processes share the image that each of them is at."""

    def __init__(self, images: Dataset[Any], count: int) -> None:
        self.images = images
        self.at = torch.full((count,), _BETWEEN).share_memory_()

    def __getitem__(self, key: Key) -> Any:
        worker = get_worker_info()
        if worker is None:
            return self.images[key]
        self.at[worker.id] = key[0]
        sample = self.images[key]
        self.at[worker.id] = _BETWEEN
        return sample


@atexit.register
def _end_workers() -> None:
    """Kill the workers that there are when this process ends: multiprocessing terminates them, which they ignore."""
    for child in multiprocessing.active_children():
        if child in _WORKERS:
            child.kill()


def _kill(workers: Sequence[Any], late: threading.Event) -> None:
    """Kill frozen workers, which ends every wait for them: torch's own timeout ends none for the rest of a batch."""
    late.set()
    for worker in workers:
        worker.kill()


def _next(made: Iterator[Any], late: threading.Event) -> Any:
    """The next batch, whatever it takes; torch looks whether the workers are alive when its own timeout is over."""
    while True:
        try:
            return next(made)
        except RuntimeError as error:
            if late.is_set() or not str(error).startswith("DataLoader timed out"):
                raise


def _leave_signals_to_the_run(worker: int) -> None:
    """Ignore what a terminal or a scheduler sends to all processes, for the run stops after its step."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
