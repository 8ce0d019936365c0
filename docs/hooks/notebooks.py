"""Runs the notebooks, which are Python files with `# %%` cells, and shows them with what they print and draw."""

import base64
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jupytext
from jupyter_client import AsyncKernelManager
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient

SECONDS = 300
STYLE = "import matplotlib; matplotlib.rcParams['savefig.bbox'] = 'tight'; matplotlib.rcParams['figure.dpi'] = 120"
_running: dict[Path, Future[Any]] = {}


def on_config(config: MkDocsConfig) -> None:
    """Start the notebooks, which run while other pages are made."""
    pool = ThreadPoolExecutor()
    for path in notebooks(Path(config.docs_dir)):
        _running[path] = pool.submit(executed, path, Path(config.config_file_path).parent)
    pool.shutdown(wait=False)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page and its figures for every notebook."""
    for path, run in _running.items():
        text, figures = page(run.result(), path.stem)
        folder = path.parent.relative_to(config.docs_dir).as_posix()
        files.append(File.generated(config, f"{folder}/{path.stem}.md", content=text))
        for name, content in figures.items():
            files.append(File.generated(config, f"{folder}/{name}", content=content))
    _running.clear()
    return files


def notebooks(docs: Path) -> list[Path]:
    """The files of all notebooks."""
    return sorted((docs / "notebooks").glob("*.py"))


def executed(path: Path, folder: Path) -> Any:
    """A notebook with its outputs.

    Args:
        path: of its cells.
        folder: in which it runs.
    """
    notebook = jupytext.read(path)
    notebook.cells.insert(0, jupytext.reads(STYLE, fmt="py:percent").cells[0])
    resources = {"metadata": {"path": str(folder)}}
    with TemporaryDirectory() as sockets:
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")  # no open port
        return NotebookClient(notebook, km=kernel, timeout=SECONDS, resources=resources).execute()


def page(notebook: Any, name: str) -> tuple[str, dict[str, bytes]]:
    """A notebook that has run as Markdown, and the figures that belong to it, by file name."""
    figures: dict[str, bytes] = {}
    parts = []
    for cell in notebook.cells[1:]:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.source.strip():
            parts.append(f"```python\n{cell.source.rstrip().removesuffix(';')}\n```")
            parts += _outputs(cell.outputs, name, figures)
    parts.append(
        f"*This page is `docs/notebooks/{name}.py`, run when the site was built; "
        "`jupytext --to ipynb` makes a notebook of it.*"
    )
    return "\n\n".join(parts) + "\n", figures


def _outputs(outputs: list[Any], name: str, figures: dict[str, bytes]) -> Iterator[str]:
    for output in outputs:
        data = output.get("data", {})
        if output.get("name") == "stderr":
            continue  # warnings of libraries, which name places of this machine
        if output.output_type == "stream":
            yield f"```text\n{output.text.rstrip()}\n```"
        elif "image/png" in data:
            file = f"{name}-{len(figures)}.png"
            figures[file] = base64.b64decode(data["image/png"])
            yield f"![What the cell above draws]({file})"
        elif "text/html" in data:
            yield re.sub(r"<style.*?</style>|\n\s*", "", data["text/html"], flags=re.DOTALL).replace(
                ' border="1" class="dataframe"', ""
            )
        elif "text/plain" in data:
            yield f"```text\n{data['text/plain']}\n```"
