"""The page as a reader's browser gets it."""

import base64
import hashlib
import re
import shutil
import subprocess
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from synthetic_records import percent, record

from phis_lab.reports import report
from phis_lab.reports.page import write_page
from phis_lab.reports.page.document import rendered
from phis_lab.runs import RunProgress, write_progress, write_record

HOSTILE = "<script>alert(1)</script>\"' onload=x {{7*7}} $a_{$ \x1b[31m \u202eevil </style></title> 漢"
VOID = {"meta", "input", "br", "img", "link", "hr", "path", "use", "rect"}


class Page(HTMLParser):
    """Every element with its attributes, in order, and the text of the whole."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.open, self.texts, self.source = [], [], [], source
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.open)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for found, attributes, _ in self.elements if found == tag]

    def tables(self):
        return re.findall(r"<table>.*?</table>", self.source, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of names that do harm, beside a run that failed, one that goes on and one whose record is damaged."""
    root = tmp_path_factory.mktemp("outputs")
    records = [hostile(record(m, s, g)) for m, g in (("identity", 0), ("phis", 1), (HOSTILE, 0.5)) for s in (0, 1)]
    for number, item in enumerate(records):
        write_record(root / f"run{number}", item)
    write_record(root / "failed", records[0].model_copy(update={"status": "failed", "failure": HOSTILE}))
    (root / "damaged <b>").mkdir()
    (root / "damaged <b>" / "result.json").write_text("{")
    running = root / "running"
    running.mkdir()
    (running / "config.yaml").touch()
    (running / "metrics.csv").write_text("step,train/<i>/teacher_mse\n1,2.0\n2,nan\nx,1\n3,1.5\n4,")
    told = {"name": HOSTILE, "method": HOSTILE, "seed": 0, "step": 3, "max_steps": 9, "images_per_s": 1.0}
    write_progress(running, RunProgress(**told, updated=datetime(2026, 1, 1, tzinfo=UTC)))
    return root


def hostile(made):
    place = {name: {"source": HOSTILE, "sha256": HOSTILE} for name in made.teachers}
    return made.model_copy(
        update={
            "commit": HOSTILE,
            "command": f"python run.py {HOSTILE}",
            "overrides": [f"label={HOSTILE}"],
            "choices": {"normalizer": made.method, HOSTILE: HOSTILE},
            "device": {"cpu": HOSTILE, "arms": HOSTILE},
            "versions": {"torch": HOSTILE},
            "teachers": place,
            "metrics": made.metrics | {f"{HOSTILE}/accuracy": percent(50 + made.seed)},
            "history": made.history[:3],
        }
    )


@pytest.fixture(scope="module")
def page(folder):
    return Page(write_page(folder, report(folder, formats=[]), price=2.5).read_text())


def test_it_is_whole_html_and_small(page, folder):
    assert page.source.startswith("<!doctype html>")
    assert page.open == []
    assert (folder / "report.html").stat().st_size < 5e6
    assert sorted(path.name for path in folder.glob("*report*")) == ["report.html"]


def test_nothing_in_it_asks_a_network(page):
    for tag, attributes, _ in page.elements:
        for name in ("src", "href", "action", "xlink:href", "srcset", "data", "poster"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {tag for tag, *_ in page.elements}
    assert "@import" not in page.source
    assert not re.search(r"url\((?!#)", page.source)


def test_the_policy_allows_its_own_script_alone(page):
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not any(name.startswith("on") for _, attributes, _ in page.elements for name in attributes)


def test_names_are_text(page):
    """As they are, but for what cannot be seen: there is no tag, formula, template or colour in them."""
    assert "<script>alert" not in page.source
    assert HOSTILE.replace("\x1b", "\\u001b").replace("\u202e", "\\u202e") in " ".join(page.texts)
    assert not {"\x1b", "\u202e"} & set(page.source)
    assert not any(tag in {"b", "i"} for tag, *_ in page.elements)


def test_every_table_has_headings_that_are_buttons(page):
    tables = page.tables()
    assert len(tables) > 10
    for table in map(Page, tables):
        heads = [attributes for tag, attributes, where in table.elements if tag == "th" and "thead" in where]
        rows = [attributes for tag, attributes, where in table.elements if tag == "th" and "thead" not in where]
        assert {head["scope"] for head in heads} == {"col"}
        assert {row["scope"] for row in rows} == {"row"}
        assert len(table.all("button")) == len(heads)
        for row in re.findall(r"<tr>(.*?)</tr>", table.source, re.DOTALL):
            assert len(re.findall("<t[hd]", row)) == len(heads)


def test_every_figure_says_in_words_what_it_shows(page):
    figures = page.all("svg")
    assert len(figures) == 6
    assert all(figure["role"] == "img" and len(figure["aria-label"]) > 60 for figure in figures)


def test_ids_are_unique_and_what_points_to_them_finds_them(page):
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pointed = {attributes["href"][1:] for _, attributes, _ in page.elements if "href" in attributes}
    pointed |= set(re.findall(r"url\(#([^)]*)\)", page.source))
    assert pointed <= set(ids)
    assert all(label["for"] in ids for label in page.all("label"))


def test_what_has_not_ended_or_failed_stands_first(page):
    text = " ".join(page.texts)
    for fact in ("6 complete, 1 failed, 1 not ended", "is not whole JSON", "3 of 9", "stopped", "2026-01-01 00:00:00"):
        assert fact in text
    assert text.index("Failed runs") < text.index("Difference to identity")


def test_it_says_what_was_compared_and_what_it_cost(page):
    text = " ".join(page.texts)
    for fact in ("cifar10", "25,000 training and 5,000 test images", "2,844 images/s", "0.75 at 2.5", "differs:"):
        assert fact in text


def test_only_what_the_seeds_support_is_bold(page, folder):
    (methods,) = [table for table in page.tables() if 'unseen">Methods<' in table]
    report(folder, formats=["md"])
    (lines,) = re.findall(r"### Methods\n(.*?)\n###", (folder / "report.md").read_text(), re.DOTALL)
    rows = [line for line in lines.splitlines() if line.startswith("| ")]
    assert methods.count("<strong>") == sum(row.count("**") for row in rows) / 2 > 0


def test_floors_stay_below_what_is_sorted_and_the_paper_stands_beside(page):
    (methods,) = [table for table in page.tables() if 'unseen">Methods<' in table]
    body, foot = re.search(r"<tbody>(.*)</tbody>.*<tfoot>(.*)</tfoot>", methods, re.DOTALL).groups()
    assert "(floor)" in foot
    assert "(floor)" not in body
    assert "paper&#39;s avg rank" in methods
    assert "7.83" in body  # of the row MSE


def test_it_is_loaded_again_only_while_it_is_watched(folder):
    made = report(folder, formats=[])
    for seconds, expected in ((None, []), (7, ["7"])):
        page = Page(rendered(folder, made, [], seconds))
        assert [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "refresh"] == expected


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PRESS = """<script>
const wanted = [...document.querySelectorAll("table")].find((table) => table.caption.textContent === "Methods");
const names = () => [...wanted.tBodies[0].rows].map((row) => row.cells[0].textContent.slice(0, 8));
const button = wanted.tHead.querySelectorAll("button")[1];
button.click(); const best = names(); button.click(); const worst = names();
document.getElementById("wanted").value = "PHI";
document.getElementById("wanted").dispatchEvent(new Event("input"));
const shown = [...wanted.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
document.title = JSON.stringify([best, worst, shown]);
</script>"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_browser_runs_its_script_under_its_policy_and_sorts(page, tmp_path):
    plain, pressed = tmp_path / "plain.html", tmp_path / "pressed.html"
    plain.write_text(page.source)
    policy = re.compile('<meta http-equiv="Content-Security-Policy"[^>]*>')
    pressed.write_text(policy.sub("", page.source).replace("</body>", f"{PRESS}</body>"))
    shown = _browse(plain, tmp_path)
    assert "Refused" not in shown.stderr
    assert "violates" not in shown.stderr
    title = re.findall(r"<title>(.*?)</title>", _browse(pressed, tmp_path).stdout)[0]
    best = ["phis", HOSTILE[:8].replace("<", "&lt;").replace(">", "&gt;"), "identity"]
    assert title == str([best, best[::-1], ["phis"]]).replace("'", '"').replace(", ", ",")


def _browse(path, profile):
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}/profile"]
    command += ["--enable-logging=stderr", "--dump-dom", path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
