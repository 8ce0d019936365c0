"""The site: its pages are there, links lead somewhere, and what is generated holds all that there is."""

import doctest
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import phis_lab
from phis_lab.config.described import Part
from phis_lab.config.signatures import Argument

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = {
    "reference/options.md",
    "reference/command-line.md",
    *(f"notebooks/{path.stem}.md" for path in (DOCS / "notebooks").glob("*.py")),
}
LINK = re.compile(r"(?<!`)\]\((?![a-z]+:|#)([^)\s#]+)")


def hook(name: str) -> ModuleType:
    """A hook, which mkdocs loads by its place as well."""
    spec = spec_from_file_location(f"hook_{name}", DOCS / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def nav() -> list[str]:
    """The pages that the site's navigation names."""
    text = (ROOT / "mkdocs.yml").read_text().replace("!!python/name:", "")
    found: list[str] = []

    def walk(entry: object) -> None:
        if isinstance(entry, str):
            found.append(entry)
        for inner in entry if isinstance(entry, list) else entry.values() if isinstance(entry, dict) else ():
            walk(inner)

    walk(yaml.safe_load(text)["nav"])
    return found


def pages() -> list[Path]:
    outside = [path for pattern in hook("repository").OUTSIDE for path in ROOT.glob(pattern) if path.suffix == ".md"]
    return [*DOCS.rglob("*.md"), *outside, ROOT / "README.md"]


def test_every_page_of_the_navigation_is_there_and_every_page_is_in_the_navigation() -> None:
    named, kept = set(nav()), {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    outside = {path.relative_to(ROOT).as_posix() for path in pages() if DOCS not in path.parents} - {"README.md"}
    reports = {name for name in outside if name.endswith("/report.md")}

    assert len(nav()) == len(named)
    assert named == kept | GENERATED | (outside - reports)


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(path: Path) -> None:
    text = re.sub(r"^```.*?^```$|`[^`\n]+`", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    made = {DOCS / name for name in GENERATED}
    missing = [
        link
        for link in LINK.findall(text)
        if not (path.parent / link).exists() and (path.parent / link).resolve() not in made
    ]

    assert not missing


def test_every_snippet_is_there() -> None:
    named = {
        name
        for path in DOCS.rglob("*.md")
        for name in re.findall(r"^--8<--\n(.+)\n--8<--$", path.read_text(), re.MULTILINE)
    }

    kinds = {Path(name).parts[1] for name in named}

    assert kinds == {path.name for path in (ROOT / "examples").iterdir()}
    assert all((ROOT / name).is_file() for name in named)


def test_every_figure_of_the_mathematics_is_shown() -> None:
    shown = {
        name for path in (DOCS / "mathematics").glob("*.md") for name in re.findall(r"\((\w+)\.svg\)", path.read_text())
    }

    assert shown == {path.stem for path in (DOCS / "mathematics").glob("*.svg")}


def test_the_page_of_options_has_every_group_and_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    options = hook("options")
    monkeypatch.setattr(options, "of_option", lambda group, name: options.Described(group, name, "What it is.", ""))
    text = options.page()

    for folder in (ROOT / "conf").iterdir():
        if folder.is_dir():
            assert f"\n## {folder.name} {{: #{folder.name} }}\n" in text
            for file in folder.rglob("*.yaml"):
                assert f"`{folder.name}={file.relative_to(folder).with_suffix('')}`" in text
    assert "| `seed` | `0` |" in text


def test_an_option_tells_type_range_default_and_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    options = hook("options")
    arguments = [
        Argument("loss.beta", "float or null", "above 0", 0.5, False, "where a | b begins"),
        Argument("loss.part", "Part", "", None, False, ""),
        Argument("loss.name", "str", "", None, True, "of a file"),
    ]
    parts = [Part("loss", "a.B", "", "A loss.", "Paper, eq. 1.", arguments), Part("loss.part", "a.C", "", "", "", [])]
    described = options.Described("loss", "mine", "What it is.", "", {"loss@loss.part": "mse"}, parts, [])
    monkeypatch.setattr(options, "of_option", lambda group, name: described)
    text = options.section(options.GroupLine("loss", "How.", "mine", ["mine"]))

    assert '??? option "`loss=mine` (usual)"\n\n    What it is.\n' in text
    assert "    `loss` is `a.B`: A loss. Paper, eq. 1.\n" in text
    assert "| `loss.beta` | float or null; above 0 | `0.5` | where a \\| b begins |" in text
    assert "| `loss.part` | Part | below |  |" in text
    assert "| `loss.name` | str | must be set | of a file |" in text
    assert "| `loss@loss.part` | `mse` |" in text


def test_words_of_a_docstring_do_not_become_markup() -> None:
    plain = hook("options")._plain("W_1 * x | y **\nz `a_b` <T>")

    assert plain == "W&#95;1 &#42; x \\| y &#42;&#42; z `a_b` &#60;T>"


def test_the_page_of_commands_has_every_command() -> None:
    commands = hook("commands")
    text = commands.page()

    for command in commands.typer.main.get_command(commands.app).commands:
        assert f"\n## `phis-lab {command}`\n" in text


def test_formulas_become_mathml() -> None:
    drawn = hook("formulas").on_page_content(r'<p><span class="arithmatex">\(\alpha^2 &lt; 1\)</span></p>', page=None)

    assert drawn.startswith("<p><math ")
    assert "&lt;" in drawn or "&#x0003C;" in drawn
    assert "arithmatex" not in drawn


def test_what_a_page_would_load_from_elsewhere_is_found() -> None:
    loaded = hook("offline").loaded_from_elsewhere

    for text in (
        '<script defer src="https://cdn.example/a.js"></script>',
        '<link href="//fonts.example/css" rel="stylesheet">',
        "<link rel=preconnect href=https://fonts.example>",
        '<img alt="x" src="http://example/a.png">',
        '<pre class="mermaid"><code>graph LR</code></pre>',
        "@import url('https://example/a.css');",
        "src: url(//example/font.woff2)",
    ):
        assert len(loaded(text)) == 1, text
    for text in (
        '<a href="https://arxiv.org/abs/2410.01680">paper</a>',
        '<script src="assets/a.js"></script>',
        '<link rel="canonical" href="https://example/">',
        '<svg xmlns="http://www.w3.org/2000/svg">',
    ):
        assert not loaded(text), text


def test_a_notebook_is_shown_with_what_it_prints_and_draws() -> None:
    notebooks = hook("notebooks")
    notebook = notebooks.jupytext.reads("# %%\nhidden\n# %% [markdown]\n# # Title\n# %%\nplot();", fmt="py:percent")
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "said\n"},
        {"output_type": "display_data", "metadata": {}, "data": {"image/png": "aGVsbG8="}},
        {
            "output_type": "execute_result",
            "metadata": {},
            "data": {"text/html": '<style>s</style>\n <table border="1" class="dataframe">'},
        },
    ]
    notebook.cells[-1].outputs = [type(notebook.cells[-1])(output) for output in outputs]
    text, figures = notebooks.page(notebook, "name")

    assert text.startswith("# Title\n\n```python\nplot()\n```\n\n```text\nsaid\n```\n\n![")
    assert "<table>" in text
    assert "hidden" not in text
    assert figures == {"name-0.png": b"hello"}


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_option_that_a_page_names_is_there(path: Path) -> None:
    groups = {folder.name for folder in (ROOT / "conf").iterdir() if folder.is_dir()}
    there = {group: {file.stem for file in (ROOT / "conf" / group).rglob("*.yaml")} for group in groups}
    for file in (ROOT / "examples").rglob("*.yaml"):
        there[file.parent.name].add(file.stem)
    code = re.findall(r"^```bash.*?^```|`[^`\n]+`", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    named = re.findall(rf"(?<![\w.@/-])({'|'.join(groups)})=\[?([a-z0-9_/,]+)", " ".join(code))
    unknown = [
        f"{group}={option}"
        for group, options in named
        for option in options.strip(",").split(",")
        if option.rpartition("/")[2] not in {*there[group], "glob", "null", ""}
    ]

    assert not unknown


def test_every_room_with_public_names_has_a_page() -> None:
    pages = {line for path in (DOCS / "reference").glob("*.md") for line in path.read_text().splitlines()}

    assert {f"::: phis_lab.{room}" for room in phis_lab._ROOMS} <= pages


def test_what_a_page_says_that_python_answers_is_true() -> None:
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    blocks = [
        block
        for path in DOCS.rglob("*.md")
        for block in re.findall(r"```python\n(>>> .*?)```", path.read_text(), re.DOTALL)
    ]
    for number, block in enumerate(blocks):
        runner.run(parser.get_doctest(block, {}, f"block {number}", None, 0))

    assert runner.summarize(verbose=False).attempted > 0
    assert runner.failures == 0
