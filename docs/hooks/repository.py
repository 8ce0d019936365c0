"""Takes pages that are kept outside of `docs/` into the site, and turns links that leave `docs/` to them.

In the repository a page links to its neighbours by their places there, so that the links work where the repository is
read; the site has these files under the same names, next to those of `docs/`.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/RESULTS.md", "examples/**/*.py", "experiments/**/*")
ENDINGS = (".md", ".png", ".svg", ".csv", ".py")
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)(#[^)\s]*)?(?=[)\s])")
FENCED = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that are kept outside, under their names in the repository."""
    root = _root(config)
    for pattern in OUTSIDE:
        for path in sorted(root.glob(pattern)):
            if path.is_file() and path.suffix in ENDINGS:
                name = path.relative_to(root).as_posix()
                files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page that leave `docs/`, or lead to a folder, to the pages of the site."""
    places = [*FENCED.split(markdown)]
    places[::2] = [LINK.sub(lambda link: _turned(link, page.file.src_uri, config, files), text) for text in places[::2]]
    return "".join(places)


def _turned(link: re.Match[str], source: str, config: MkDocsConfig, files: Files) -> str:
    """A link as the site has it; one that leads to nothing that the site has stays, and the build refuses it."""
    docs = Path(config.docs_dir).name
    here = posixpath.dirname(source if (_root(config) / source).exists() else f"{docs}/{source}")
    there = posixpath.normpath(posixpath.join(here, link[1]))
    name = "index.md" if there == "README.md" else there.removeprefix(f"{docs}/")
    found = next((at for at in (name, f"{name}/README.md", f"{name}/index.md") if files.get_file_from_path(at)), None)
    if found is None:
        return link[0]
    return posixpath.relpath(found, posixpath.dirname(source) or ".") + (link[2] or "")


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent
