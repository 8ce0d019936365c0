"""Which files below a folder are images."""

import os
from pathlib import Path, PurePath
from typing import NamedTuple

from phis_lab.data.decoding import ENDINGS, readable_endings
from phis_lab.data.left_out import LeftOut

_OF_SYSTEMS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "Thumbs.db", "desktop.ini")


class Listing(NamedTuple):
    """The image files below a folder, in the order of their names, and what else is there."""

    files: list[Path]
    left_out: LeftOut


def list_images(folder: Path) -> Listing:
    """Finds the image files below a folder; links to files and folders are followed."""
    left_out = LeftOut()
    return Listing(sorted(_Walk(folder, left_out).visit(folder, ())), left_out)


def is_hidden(name: str) -> bool:
    """Whether a system or a program keeps a file or folder of this name for itself."""
    return name.startswith(".") or name in _OF_SYSTEMS


def refused_kind(name: str) -> str | None:
    """Returns why a file of this name is read as no image, None where it is."""
    ending = PurePath(name).suffix.lower()
    if ending not in ENDINGS:
        return "file{s} of other kinds"
    return None if ending in readable_endings() else "image file{s} that the installed Pillow cannot read"


def ending_of(name: str) -> str:
    """Returns the ending by which files of a kind are counted."""
    return PurePath(name).suffix.lower() or "no ending"


class _Walk:
    def __init__(self, root: Path, left_out: LeftOut) -> None:
        self.root, self.left_out = root, left_out

    def visit(self, folder: Path, above: tuple[tuple[int, int], ...]) -> list[Path]:
        """The images below a folder; `above` holds the folders on the way to it, of which a link may lead to one."""
        try:
            found = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._leave(f"folder{{s}} that cannot be read: {error.strerror}", folder)
            return []
        here = (found.st_dev, found.st_ino)
        if here in above:
            self._leave("link{s} to a folder around it", folder)
            return []
        files: list[Path] = []
        for entry in entries:
            files += self._of_entry(entry, (*above, here))
        if not files and above:
            self._leave("folder{s} without an image", folder)
        return files

    def _of_entry(self, entry: os.DirEntry[str], above: tuple[tuple[int, int], ...]) -> list[Path]:
        path = Path(entry.path)
        try:
            is_there, is_folder, is_file = path.exists(), entry.is_dir(), entry.is_file()
        except OSError:  # a link to itself, or through a folder that may not be entered
            is_there = is_folder = is_file = False
        if is_hidden(entry.name):
            self._leave("hidden folder{s}" if is_folder else "hidden file{s}", path)
        elif is_folder:
            return self.visit(path, above)
        elif not is_file:
            self._leave("pipe{s}, sockets or devices" if is_there else "dead link{s}", path)
        elif reason := refused_kind(entry.name):
            self.left_out.add(reason, ending_of(entry.name))
        else:
            return [path]
        return []

    def _leave(self, reason: str, path: Path) -> None:
        self.left_out.add(reason, str(path.relative_to(self.root)))
