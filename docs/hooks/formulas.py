"""Turns formulas between dollar signs into MathML, which browsers draw without a script."""

import re
from html import unescape

from latex2mathml.converter import convert
from mkdocs.structure.pages import Page

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(html: str, page: Page, **_: object) -> str:
    """Replace what pymdownx.arithmatex marked."""
    return FORMULA.sub(lambda found: formula(found[2], block=found[1] == "div"), html)


def formula(latex: str, *, block: bool) -> str:
    """A formula as MathML.

    Args:
        latex: without its dollar signs.
        block: whether it stands in a line of its own.
    """
    drawn = convert(unescape(latex.strip()), display="block" if block else "inline")
    return f'<div class="formula">{drawn}</div>' if block else drawn
