"""Images beside what a student and its teachers see in them, from the file that the task `pictures` leaves."""

import textwrap
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from phis_lab.reports.style import PAGE_WIDTH, RC

CAPTION = (
    "Test images; the student's patch tokens, coloured by their three leading principal components; every teacher's "
    "spatial features, coloured by theirs, and beside them what the student says of that teacher in the same colours: "
    "where the two agree, so do the colours. On the right the test images that the student's summary finds most alike."
)
_FILE = "pictures.safetensors"
_LETTERS = 9


def images_of(folder: Path) -> Figure | None:
    """A row for every image and a column for everyone who sees it; None where a run left nothing that can be read."""
    if not (folder / _FILE).is_file():
        return None
    from phis_lab.evals.tasks.pictures import read_pictures  # noqa: PLC0415  torch, which records can do without

    try:
        found = {name: pixels.numpy() for name, pixels in read_pictures(folder).items()}
    except (ValueError, OSError):
        return None
    return _drawn({name: found[name] for name in sorted(found, key=_place)}) if found else None


def _place(name: str) -> tuple[int, str, str]:
    """The image first, then the student, every teacher before what is said of it, and neighbours last."""
    kind, _, of = name.partition("/")
    order = {"image": 0, "student": 1, "teacher": 2, "prediction": 2, "neighbour": 3}.get(kind, 4)
    return order, of, "a" if kind == "teacher" else "b"


def _drawn(columns: dict[str, np.ndarray]) -> Figure:
    count = min(len(pixels) for pixels in columns.values())
    cell = PAGE_WIDTH / len(columns)
    with mpl.rc_context(RC):
        figure = Figure(figsize=(PAGE_WIDTH, count * cell + 0.6), layout="constrained")
        grid = figure.subplots(count, len(columns), squeeze=False)
        for name, pixels, axes in zip(columns, columns.values(), grid.T, strict=True):
            axes[0].set_title(textwrap.fill(_heading(name), _LETTERS), fontsize=6, loc="center")
            for row, image in zip(axes, pixels, strict=False):
                row.imshow(image, interpolation="none")
                row.set_axis_off()
        return figure


def _heading(name: str) -> str:
    kind, _, of = name.partition("/")
    return {"teacher": of, "prediction": f"student: {of}", "neighbour": f"alike {of}"}.get(kind, name)
