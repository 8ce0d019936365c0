"""A Matplotlib figure as an SVG element that stands in an HTML page."""

import io
import re
import warnings
from collections.abc import Mapping
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from phis_lab.visible import visible

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_RC = {"svg.fonttype": "none", "svg.hashsalt": "phis_lab", "font.sans-serif": ["DejaVu Sans"]}
_LENGTHS = ("d", "x", "y", "transform")
_DECIMALS = re.compile(r"(\.\d)\d+")


def inline_svg(figure: Figure, name: str, alternative: str, hints: Mapping[str, str] | None = None) -> Markup:
    """Draws a figure with text that a reader can search and select.

    It has no background and no size of its own: the page gives both. Every id begins with `name`, for ids of several
    figures share a page.

    Args:
        figure: to draw.
        name: of the figure, which no other one of the page has.
        alternative: what a screen reader says instead.
        hints: what is shown while the pointer rests on an artist, by the artist's gid.
    """
    root = ElementTree.fromstring(_drawn(figure))
    for part in root.findall(f"{{{_SVG}}}metadata") + root.findall(f"{{{_SVG}}}title"):
        root.remove(part)
    for part in root.iter(f"{{{_SVG}}}defs"):
        for style in part.findall(f"{{{_SVG}}}style"):  # which would hold for the whole page
            part.remove(style)
    for gid, hint in (hints or {}).items():
        if (artist := root.find(f".//*[@id='{gid}']")) is not None:
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = visible(hint)
            artist.insert(0, title)
    _rename(root, name)
    for element in root.iter():
        _shorten(element)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": visible(alternative)}
    return Markup(_serialised(root))


def _drawn(figure: Figure) -> str:
    buffer = io.StringIO()
    with mpl.rc_context(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # the reader's fonts draw it
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return visible(buffer.getvalue())


def _rename(root: ElementTree.Element, name: str) -> None:
    """Put the figure's name before the ids that something points to, and leave out all others."""
    pointed = set()
    for element in root.iter():
        target = element.attrib.pop(_LINK, None)
        if target is not None and target.startswith("data:"):
            element.set("href", target)
        elif target is not None:
            pointed.add(target.removeprefix("#"))
            element.set("href", f"#{name}-{target.removeprefix('#')}")
        if clip := element.get("clip-path"):
            target = clip.removeprefix("url(#").removesuffix(")")
            pointed.add(target)
            element.set("clip-path", f"url(#{name}-{target})")
    for element in root.iter():
        if (own := element.attrib.pop("id", None)) in pointed:
            element.set("id", f"{name}-{own}")


def _shorten(element: ElementTree.Element) -> None:
    """Leave out what nobody sees: hundredths of a point, and indentation."""
    for length in element.attrib.keys() & _LENGTHS:
        element.set(length, " ".join(_DECIMALS.sub(r"\1", element.attrib[length]).split()))
    element.tail = None
    if element.text is not None and not element.text.strip():
        element.text = None


def _serialised(root: ElementTree.Element) -> str:
    """As HTML has it, in which `svg` needs no namespace."""
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
    return ElementTree.tostring(root, encoding="unicode")
