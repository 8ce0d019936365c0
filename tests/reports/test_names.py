"""Names of a stranger's run are shown character for character, in every kind of file and on the terminal."""

import io
import logging

import pandas as pd
import pytest
from synthetic_records import record, write_study

from phis_lab.reports import report
from phis_lab.reports.markup import escape_csv, escape_latex, escape_markdown, latex, markdown, terminal
from phis_lab.reports.sheets import Cell, Sheet
from phis_lab.runs import write_record
from phis_lab.runs.record import Metric
from phis_lab.terminal import Terminal
from phis_lab.visible import VisibleFormatter, in_one_line, visible

HOSTILE = '=HYPERLINK("http://x")<img src=x>[a](b)|**x**\x1b[31m\u202etxt\x07\n# head\r\t`$x$`'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("foreign")
    teachers = {HOSTILE: {"source": HOSTILE, "sha256": "ab"}}
    foreign = {
        "name": HOSTILE,
        "commit": HOSTILE,
        "command": HOSTILE,
        "teachers": teachers,
        "choices": {"loss": HOSTILE},
    }
    records = [record(label) for label in ("=1+1", "@sum", "-2", "[red]")]
    records += [record("identity", **foreign), record("broken", status="failed", failure=HOSTILE)]
    for number, one in enumerate(records):
        (root / str(number)).mkdir()
        write_record(root / str(number), one)
    report(root, formats=["md", "csv", "tex"])
    return root


def test_no_file_of_a_report_holds_what_no_reader_sees(folder):
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in ("report.md", "report.csv", "report.tex")}
    for name, text in texts.items():
        assert not set(text) & set("\x1b\u202e\x07\r\t"), name
    assert r"\u001b" in texts["report.md"]
    assert r"\u001b" in texts["report.csv"]


def test_markdown_shows_names_and_obeys_none(folder):
    text = (folder / "report.md").read_text(encoding="utf-8")
    shown = "\n".join(line for line in text.splitlines() if not line.startswith("      "))  # commands are code
    for begins in ("<img", "[a](b)", "\n# head", "http://x", "**x**"):
        assert begins not in shown.replace("\\" + begins[:1], ""), begins
    assert r"\<img src=x\>\[a\](b)\|\*\*x\*\*\\u001b\[31m" in shown
    rows = [line for line in text.splitlines() if line.startswith("| \\[red\\]")]
    assert rows
    assert all(line.replace(r"\|", "").count("|") >= 3 for line in rows)


def test_csv_cells_are_no_formulas_and_numbers_stay_numbers(folder):
    frame = pd.read_csv(folder / "report.csv")
    for column in ("study", "method", "metric", "unit"):
        assert not frame[column].dropna().astype(str).str.match(r"\s*[=+\-@]").any()
    assert {"'=1+1", "'@sum", "'-2", "[red]"} <= set(frame["method"])
    assert frame["mean"].dtype.kind == frame["floor"].dtype.kind == "f"


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", " =1", "＝1"])
def test_every_beginning_of_a_formula_is_text(cell):
    assert escape_csv(cell) == f"'{cell}"


def test_negative_numbers_stay_numbers_in_csv(tmp_path):
    scores = {"probe/r2": Metric(value=-0.25, unit="", higher_is_better=True)}
    report(write_study(tmp_path, [record("identity", 0, metrics=scores)]), formats=["csv"])
    assert "probe/r2,-0.25," in (tmp_path / "report.csv").read_text()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pocket_methods", "pocket_methods"),
        ("_a_", r"\_a\_"),
        ("lr=0.1, loss: 3 %", "lr=0.1, loss: 3 %"),
        ("<script>", r"\<script\>"),
        ("&lt;", r"\&lt;"),
        (":smile:", r"\:smile:"),
        ("https://x", r"https\://x"),
        ("www.x.org", r"www\.x.org"),
        ("a@b #1 $x$ ~~y~~", r"a\@b \#1 \$x\$ \~\~y\~\~"),
        ("a\nb", r"a\\nb"),
    ],
)
def test_markdown_shows_every_character(text, shown):
    assert escape_markdown(text) == shown


def test_latex_takes_no_name_for_the_option_of_a_row():
    sheet = Sheet("t", "c", ("method", "[x] *"), ((Cell("[red]"), Cell("1")), (Cell("*"), Cell("2"))))
    assert "    {[}red{]} & 1 \\\\\n    {*} & 2 \\\\" in latex(sheet)
    assert escape_latex("a\x1b\nb") == r"a\textbackslash{}u001b\textbackslash{}nb"


def printed(*things):
    file = io.StringIO()
    Terminal(file=file, width=200, force_terminal=True, color_system="truecolor").print(*things)
    return file.getvalue()


@pytest.mark.parametrize("name", ["[red]", "[/]", "[bold]x[/bold]", ":smile:", "[link=http://x]y[/link]", "a\\[b"])
def test_rich_prints_names_as_they_are(name):
    sheet = Sheet(
        f"Difference to {name}", f"caption {name}", ("method", name), ((Cell(name), Cell("1")),), f"{name} 2."
    )
    plain = printed(terminal(sheet))
    assert plain.count(name) >= 4
    assert name in printed(name)


def test_the_terminal_gets_no_code_of_a_name():
    sheet = Sheet(HOSTILE, HOSTILE, ("method", HOSTILE), ((Cell(HOSTILE), Cell("1")),), HOSTILE)
    for text in (printed(terminal(sheet)), printed(HOSTILE)):
        assert not set(text) & set("\u202e\x07\r")
        assert "\x1b[31m" not in text
    line = logging.makeLogRecord({"msg": "left out: %s", "args": (HOSTILE,)})
    assert "\x1b" not in VisibleFormatter("%(message)s").format(line)


def test_markdown_of_a_sheet_has_one_line_for_a_row():
    sheet = Sheet(HOSTILE, HOSTILE, ("method", "x"), ((Cell(HOSTILE), Cell("1")),), HOSTILE)
    assert len(markdown(sheet).splitlines()) == 9


def test_every_character_is_seen_and_words_of_all_languages_stay():
    for kept in ("±↑–", "模型", "مدل", "naïve", "a\tb\nc"):
        assert visible(kept) == kept
    assert visible("\x9b\u2066\u061c\ud800\U000e0041") == r"\u009b\u2066\u061c\ud800\ue0041"
    assert in_one_line("a\nb\tc\r") == r"a\nb\tc\u000d"
