"""A `Sheet` as Markdown, as LaTeX (booktabs) and as a Rich table for the terminal."""

import re

from rich import box
from rich.table import Table
from rich.text import Text

from phis_lab.reports.sheets import Cell, Sheet
from phis_lab.visible import in_one_line

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "$": r"\$",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "−": "$-$",
}


_WITHIN_A_WORD = re.compile(r"(?<=[^\W_])_(?=[^\W_])")
_MARKDOWN = re.compile(r"[\\`*\[\]<>#|~&$@]|(?<![^\W_])_|_(?![^\W_])|:(?=\S)|(?<=www)\.", re.IGNORECASE)
"""What could begin emphasis, code, a link, HTML, a heading, a cell, a formula, a mention or a picture of a face."""

_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")


def markdown(sheet: Sheet) -> str:
    """A pipe table under its title and the number of seeds, with the caption below."""
    rows = [[_markdown_cell(cell) for cell in row] for row in sheet.rows]
    head = [_markdown_cell(Cell(name)) for name in sheet.columns]
    rule = [":--", *(["--:"] * (len(head) - 1))]
    lines = ["| " + " | ".join(row) + " |" for row in [head, rule, *rows]]
    seeds = [escape_markdown(sheet.seeds), ""] if sheet.seeds else []
    title, caption = escape_markdown(sheet.title), escape_markdown(sheet.caption)
    return "\n".join([f"### {title}", "", *seeds, *lines, "", caption, ""])


def latex(sheet: Sheet) -> str:
    r"""A `table` environment; the document needs `\usepackage{booktabs}`."""
    rows = [" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in sheet.rows]
    parts = [f"{sheet.title}.", *([sheet.seeds] if sheet.seeds else []), sheet.caption]
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape_latex(' '.join(parts))}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(sheet.columns) - 1)}}}",
        r"    \toprule",
        "    " + " & ".join(_latex_heading(name) for name in sheet.columns) + r" \\",
        r"    \midrule",
        *("    " + row for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def terminal(sheet: Sheet) -> Table:
    """A table whose headings are broken at every space: four teachers fit 100 columns."""
    table = Table(
        title=Text("\n".join(map(in_one_line, filter(None, [sheet.title, sheet.seeds])))),
        caption=Text(in_one_line(sheet.caption)),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        show_edge=False,
        collapse_padding=True,
        pad_edge=False,
    )
    for index, name in enumerate(sheet.columns):
        broken = Text(in_one_line(name).replace(" ", "\n"))
        table.add_column(broken, justify="right" if index else "left", vertical="bottom", no_wrap=True)
    for row in sheet.rows:
        table.add_row(*(Text(in_one_line(cell.text), style="bold" if cell.strong else "") for cell in row))
    return table


def escape_latex(text: str) -> str:
    """Text as LaTeX sets it, character for character."""
    return "".join(_LATEX.get(character, character) for character in in_one_line(text))


def escape_markdown(text: str) -> str:
    """Text as Markdown shows it, character for character, within a line."""
    return _MARKDOWN.sub(lambda found: f"\\{found.group()}", in_one_line(text))


def escape_csv(text: str) -> str:
    """Text that a spreadsheet takes for text: what would be a formula there begins with an apostrophe."""
    shown = in_one_line(text)
    return f"'{shown}" if _FORMULA.match(shown) else shown


def _markdown_cell(cell: Cell) -> str:
    text = _WITHIN_A_WORD.sub(r"\\_", escape_markdown(cell.text))
    return f"**{text}**" if cell.strong else text


def _latex_heading(name: str) -> str:
    lines = r"\\".join(escape_latex(word) for word in name.split(" "))
    return rf"\shortstack[r]{{{lines}}}"


def _latex_cell(cell: Cell) -> str:
    text = re.sub(r"^-(?=\d)", "$-$", escape_latex(cell.text))
    return rf"\textbf{{{text}}}" if cell.strong else text
