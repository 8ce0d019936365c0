"""Refuses a site whose pages would load a script, a style, a font or an image from elsewhere."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|srcset|data)=["']?(?P<by_source>(?:https?:)?//[^"'\s>]+)
    |<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon|shortcut|dns-prefetch|modulepreload))[^>]*?\bhref=["']?(?P<by_link>(?:https?:)?//[^"'\s>]+)
    |<\w+\b[^>]*?\bclass=["']?(?P<by_theme>mermaid)\b  # a diagram, for which Material loads its drawing program
    |(?:@import\s+(?:url\()?|url\()\s*["']?(?P<by_style>(?:https?:)?//[^"')\s]+)""",
    re.VERBOSE | re.IGNORECASE,
)


def on_post_build(config: MkDocsConfig) -> None:
    """Look at every page and style of the site."""
    site = Path(config.site_dir)
    found = [
        f"{path.relative_to(site)} loads {address}"
        for path in sorted(site.rglob("*"))
        if path.suffix in {".html", ".css"}
        for address in loaded_from_elsewhere(path.read_text(encoding="utf-8"))
    ]
    if found:
        raise PluginError("The site must ask nothing of a network: " + "; ".join(found[:10]))


def loaded_from_elsewhere(text: str) -> list[str]:
    """What a page or a style loads from other hosts; links that a reader may follow are none."""
    return [next(filter(None, match.groups())) for match in LOADED.finditer(text)]
