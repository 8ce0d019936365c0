"""Shows an `Example:` of a docstring as one, as Griffe does with `Examples:`."""

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)


class Examples(Extension):
    """Renames the section as docstrings are read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Every object with a docstring."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(r"\1Examples:", obj.docstring.value)
