"""What the constructor of a user's own part raises is told with the option that names it."""

from pathlib import Path

import pytest

from phis_lab.config.build import build

OWN = """
from phis_lab.normalizers import Normalizer


class Bare(Normalizer):
    pass


class Hungry:
    def __init__(self):
        raise KeyError("lunch")
"""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Bare", r"normalizer\._target_=own_parts\.Bare raised TypeError: Can't instantiate abstract class Bare"),
        ("Hungry", r"normalizer\._target_=own_parts\.Hungry raised KeyError: 'lunch'"),
    ],
)
def test_an_own_part_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    options = {"dim": 3} if name == "Bare" else {}
    with pytest.raises(ValueError, match=says):
        build({"_target_": f"own_parts.{name}"}, "normalizer", **options)
