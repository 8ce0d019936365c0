"""Fetching without hanging and without leaving half a data set behind."""

import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def fetching(seconds: float = 10.0) -> Iterator[None]:
    """Bounds every network operation within, and what an archive may hold that is unpacked within.

    An unreachable host fails in seconds. A tar is refused that leads out of its folder by a path or a link, or holds
    devices (PEP 706; Python 3.11.4 or later): torchvision unpacks by Python's default, which was trust before 3.14.

    Raises:
        ValueError: an archive is refused, or is none; or this Python cannot refuse one.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ValueError("this Python unpacks archives without looking at their paths; data sets need 3.11.4 or later")
    before, trusting = socket.getdefaulttimeout(), tarfile.TarFile.extraction_filter
    socket.setdefaulttimeout(seconds)
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    except tarfile.TarError as error:
        raise ValueError(f"an archive is not unpacked that is damaged or leads out of its folder: {error}") from error
    finally:
        socket.setdefaulttimeout(before)
        tarfile.TarFile.extraction_filter = trusting


@contextmanager
def appearing_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder that takes the name `target` when the block succeeds and vanishes when it fails.

    Of two processes that fill the same target, the first one wins and the second one's copy is dropped.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as parent:
        folder = Path(parent) / target.name
        folder.mkdir()
        yield folder
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():
                raise


def unpack_debian_package(package: str, folder: Path) -> None:
    """Downloads a package by apt and unpacks it into `folder`, without installing it and without root.

    Where apt has no index of packages or a stale one, a private one is fetched; the system's is left alone.

    Raises:
        OSError: this is no Debian or a relative of it, there is no apt-get.
        RuntimeError: a command failed; the message holds what it printed.
        subprocess.TimeoutExpired: a command took more than two minutes.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        apt = ["apt-get", "-q", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10"]
        try:
            _run([*apt, "download", package], work)
        except RuntimeError:
            for part in ("state/lists/partial", "cache/archives/partial"):
                (work / part).mkdir(parents=True)
            apt += ["-o", f"Dir::State={work}/state", "-o", f"Dir::Cache={work}/cache"]
            _run([*apt, "update"], work)
            _run([*apt, "download", package], work)
        (archive,) = work.glob("*.deb")
        _run(["dpkg-deb", "-x", str(archive), str(folder)], work)


def _run(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
