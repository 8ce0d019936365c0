"""A `Sheet` as Markdown, as LaTeX (booktabs) and as a Rich table for the terminal."""

import re

from rich import box
from rich.table import Table
from rich.text import Text

from phis_lab.reports.sheets import Cell, Sheet

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
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "−": "$-$",
}


def markdown(sheet: Sheet) -> str:
    """A pipe table under its title and the number of seeds, with the caption below."""
    rows = [[_markdown_cell(cell) for cell in row] for row in sheet.rows]
    head = [_markdown_cell(Cell(name)) for name in sheet.columns]
    rule = [":--", *(["--:"] * (len(head) - 1))]
    lines = ["| " + " | ".join(row) + " |" for row in [head, rule, *rows]]
    seeds = [sheet.seeds, ""] if sheet.seeds else []
    return "\n".join([f"### {sheet.title}", "", *seeds, *lines, "", sheet.caption, ""])


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
        title=f"{sheet.title}\n{sheet.seeds}" if sheet.seeds else sheet.title,
        caption=sheet.caption,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        show_edge=False,
        collapse_padding=True,
        pad_edge=False,
    )
    for index, name in enumerate(sheet.columns):
        broken = Text(name.replace(" ", "\n"))
        table.add_column(broken, justify="right" if index else "left", vertical="bottom", no_wrap=True)
    for row in sheet.rows:
        table.add_row(*(Text(cell.text, style="bold" if cell.strong else "") for cell in row))
    return table


def escape_latex(text: str) -> str:
    """Text as LaTeX sets it, character for character."""
    return "".join(_LATEX.get(character, character) for character in text)


def _markdown_cell(cell: Cell) -> str:
    text = cell.text.replace("|", r"\|").replace("_", r"\_")
    return f"**{text}**" if cell.strong else text


def _latex_heading(name: str) -> str:
    lines = r"\\".join(escape_latex(word) for word in name.split(" "))
    return rf"\shortstack[r]{{{lines}}}"


def _latex_cell(cell: Cell) -> str:
    text = re.sub(r"^-(?=\d)", "$-$", escape_latex(cell.text))
    return rf"\textbf{{{text}}}" if cell.strong else text
