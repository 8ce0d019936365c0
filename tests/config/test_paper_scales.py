"""The papers' scales hold the values that docs/fidelity.md lists with their sources."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose

from phis_lab.config.resolvers import to_plain

ROOT = Path(__file__).parents[2]
SECTION = re.compile(r"^## `(scale=\w+)`$(.*?)(?=^## )", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `([\w.]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)
SECTIONS = dict(SECTION.findall((ROOT / "docs" / "fidelity.md").read_text()))


def value_at(config: Any, path: str) -> Any:
    for key in path.split("."):
        config = config[key]
    return config


def leaves(node: Any, path: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for key, child in node.items():
            yield from leaves(child, f"{path}.{key}" if path else key)
    else:
        yield path


def test_every_scale_of_a_paper_is_documented() -> None:
    files = {f"scale={file.stem}" for file in (ROOT / "conf" / "scale").glob("*paper*.yaml")}
    assert files == SECTIONS.keys()


@pytest.mark.parametrize("scale", SECTIONS)
def test_a_scale_has_the_documented_values_and_documents_what_it_sets(scale: str) -> None:
    config = to_plain(compose("config", [scale, "data.root=x"], return_hydra_config=True))
    documented = {path: yaml.safe_load(text) for path, text, _ in ROW.findall(SECTIONS[scale])}
    assert {path: value_at(config, path) for path in documented} == documented
    file = yaml.safe_load((ROOT / "conf" / "scale" / f"{scale.partition('=')[2]}.yaml").read_text())
    file.pop("defaults")
    practical = re.compile(r"data\.workers|trainer\.(checkpoint|log)_every|evaluation\.every")
    assert [path for path in leaves(file) if not practical.fullmatch(path) and path not in documented] == []
