import itertools
import time

import pytest
from synthetic_records import record, write_study
from typer.testing import CliRunner

from phis_lab.cli import app
from phis_lab.commands import page
from phis_lab.commands.page import teacher_statistics


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)], env={"COLUMNS": "100"})


@pytest.fixture
def folder(tmp_path):
    return write_study(tmp_path, [record(history=[], metrics={})])


def test_the_page_is_written_beside_the_other_files_and_named(folder):
    result = run(folder, "--html", "--format", "csv")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == [str(folder / "report.csv"), str(folder / "report.html")]
    assert sorted(path.name for path in folder.glob("report.*")) == ["report.csv", "report.html"]


def test_a_price_without_a_page_is_refused(folder):
    result = run(folder, "--price", "2.5")
    assert result.exit_code == 1
    assert "--price 2.5 is said in report.html alone: add --html" in result.stderr
    assert not list(folder.glob("report.*"))


def test_a_document_does_not_watch(folder):
    result = run(folder, "--watch", "5", "--json")
    assert result.exit_code == 1
    assert "leave one of them out" in result.stderr


def test_watching_renews_the_page_until_ctrl_c_and_goes_on_after_a_refusal(folder, monkeypatch):
    """Between the first page and Ctrl-C there comes a run that goes wrong, and then one that goes well."""
    written, naps = [], itertools.count()

    def write(folder, made, price=None, renewed_every=None):
        written.append((len(made.records), price, renewed_every))
        return made

    def nap(seconds):
        turn = next(naps)
        if turn == 0:
            monkeypatch.setattr(page, "report", refuse)
        elif turn == 1:
            monkeypatch.setattr(page, "report", genuine)
            write_study(folder, [record("identity", history=[])])
        else:
            raise KeyboardInterrupt

    def refuse(*_):
        raise ValueError("the records disagree")

    genuine = page.report
    monkeypatch.setattr(time, "sleep", nap)
    monkeypatch.setattr(page, "with_page", write)
    result = run(folder, "--watch", 7, "--price", 3, "--format", "csv")
    assert result.exit_code == 0, result.output
    assert written == [(1, 3, 7), (2, 3, 7), (2, 3, None)]
    assert "The page was not renewed: the records disagree" in result.output


def test_damaged_statistics_of_teachers_are_named_on_the_page(tmp_path):
    (tmp_path / "stats").mkdir()
    (tmp_path / "stats" / "statistics.json").write_text("{")
    (chapter,) = teacher_statistics(tmp_path)
    assert chapter.title == "Statistics of the teachers: stats"
    assert "is damaged" in chapter.caveats[0]
