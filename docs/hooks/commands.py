"""Writes reference/command-line.md from the help of the commands themselves."""

import re

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from phis_lab.cli import app

PAGE = "reference/command-line.md"
START = """# Every command and its options

What `phis-lab COMMAND --help` tells. Exit codes, JSON documents and completion: [Commands](../commands.md).
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """The page in Markdown, one section for every command."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="phis-lab")
    told = get_docs_for_click(obj=command, ctx=context, name="phis-lab")
    _, *sections = re.split(r"^(?=## )", told, flags=re.MULTILINE)
    return START + "\n" + "\n".join(sections)
