"""What files may hold in the place of what was written, and what a reader may say of it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMED = (ValueError, OSError, ModuleNotFoundError)


def places(value: Any) -> list[tuple[Any, ...]]:
    """Every key and index of a nested value, as paths."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, inner in items for path in ((key,), *((key, *rest) for rest in places(inner)))]


@st.composite
def changed(draw: st.DrawFn, content: dict[str, Any], values: st.SearchStrategy[Any] = ANYTHING) -> dict[str, Any]:
    """The content with one to three of its values replaced, taken away or given another name."""
    other = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        if not (paths := places(other)):
            break
        *parents, key = draw(st.sampled_from(paths))
        node = other
        for parent in parents:
            node = node[parent]
        change = draw(st.sampled_from(["replaced", "taken", "renamed"]))
        value = node.pop(key)
        if change == "replaced" and isinstance(node, list):
            node.insert(key, draw(values))
        elif change == "replaced":
            node[key] = draw(values)
        elif change == "renamed" and isinstance(node, dict):
            node[draw(st.text(max_size=8))] = value
    return other


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with some bytes put in the place of others, or anything at all."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=2000))
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 64)) | st.just(len(content)))
    return content[:start] + draw(st.binary(max_size=64)) + content[end:]


def read_or_named(read: Callable[[], object], *names: str | Path) -> object:
    """What is read, or None where it is refused in a sentence of bounded length that has one of the names."""
    try:
        return read()
    except NAMED as error:
        said = str(error)
    assert any(Path(name).name in said for name in names), f"no file is named: {said}"
    assert len(said) < 20_000, said[:2000]
    return None
