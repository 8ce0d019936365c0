"""Brings a store up to what a run needs: verify, estimate, refuse, or fill in all processes and tell how far it is."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from phis_lab.processes import any_process, average, rank, world_size
from phis_lab.refusals import INTERRUPTED
from phis_lab.teachers.pool import TeacherPool
from phis_lab.teachers.store.fill import fill
from phis_lab.teachers.store.plan import Entry, FixedImages, batches, bytes_of, free_bytes, gigabytes, units, unusable
from phis_lab.teachers.store.table import Table
from phis_lab.whole_files import remove_parts

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 30.0


class FillProgress:
    """Counts images; a context.

    Args:
        total: images that the teachers will see.
        visible: False in all processes but one.
        console: where the bar is drawn.
    """

    def __init__(self, total: int, visible: bool, console: Console) -> None:
        self.total, self.visible = total, visible
        self._done = 0
        self._started = self._spoke = time.perf_counter()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(
            *columns,
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not (visible and console.is_terminal),
        )
        self._task = self._bar.add_task("images through the teachers", total=total)

    def __enter__(self) -> "FillProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, images: int) -> None:
        """Say that so many more are done."""
        self._done += images
        self._bar.update(self._task, completed=self._done)
        now = time.perf_counter()
        if self.visible and self._bar.disable and now - self._spoke > SECONDS_BETWEEN_LINES:
            self._spoke = now
            left = (self.total - self._done) * (now - self._started) / self._done
            log.info("%d of %d images through the teachers, about %.0f s left", self._done, self.total, left)


def complete(root: Path, tables: Sequence[Table], images: FixedImages, pool: TeacherPool, device: torch.device) -> None:
    """Verify every shard that the images need, and write those that are missing or damaged.

    The processes of a data-parallel run divide the work and wait for each other; all of them call this.

    Args:
        root: folder of the store.
        tables: of these images.
        images: renders the views.
        pool: on `device`.
        device: where the teachers run.

    Raises:
        ValueError: the disk is too small, a teacher's features cannot be stored, or another process failed.
        SystemExit: the user pressed Ctrl-C; what is written stays.
    """
    first = rank() == 0
    if first:
        for table in tables:
            remove_parts(table.folder)
    everything = units(tables, images.views, slice(None))
    if first:
        whole = gigabytes(sum(bytes_of(unit) for unit in everything))
        text = "Feature store %s: %s for %d view(s) of %d %s images. Verifying what is there."
        log.info(text, root, whole, images.views, images.count, images.split)
    mine = unusable(everything[rank() :: world_size()])
    missing = torch.tensor(float(sum(bytes_of(unit) for unit in mine)), dtype=torch.float64, device=device)
    needed = float(average(missing)) * world_size()
    if needed:
        _refuse_small_disk(root, needed)
        total = sum(len(keys) for unit in mine for keys in batches(unit))
        with _stopped_at_once(), FillProgress(total, first, Console()) as progress:
            _fill_together(mine, images, pool, device, progress)
    absent = [entry.path for unit in everything for entry in unit if not entry.path.exists()]
    if absent:
        raise ValueError(f"{absent[0]} is not here: a feature store lies on a disk that all processes share")


def _refuse_small_disk(root: Path, needed: float) -> None:
    free = free_bytes(root)
    if rank() == 0:
        log.info("To be written: %s; free: %s.", gigabytes(needed), gigabytes(free))
    if any_process(needed > free):
        raise ValueError(
            f"teachers.store={root}: the missing features take {gigabytes(needed)}, {gigabytes(free)} are free there; "
            "choose another place, a smaller teachers.store_dtype or fewer augmentation.views"
        )


def _fill_together(
    mine: Sequence[Sequence[Entry]],
    images: FixedImages,
    pool: TeacherPool,
    device: torch.device,
    progress: FillProgress,
) -> None:
    failure: Exception | None = None
    try:
        fill(mine, images, pool, device, progress.advance)
    except Exception as error:
        failure = error  # the others must not wait for this process forever
    if any_process(failure is not None):
        raise failure or ValueError("another process could not fill its part of the feature store")


@contextmanager
def _stopped_at_once() -> Iterator[None]:
    """Let one Ctrl-C end a fill, which loses no more than the block being computed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        log.warning("Stopped while filling the feature store. What is written stays; the same command goes on.")
        sys.exit(INTERRUPTED if rank() == 0 else 0)  # a launcher takes the others' codes for a crash
    finally:
        signal.signal(signal.SIGINT, before)
