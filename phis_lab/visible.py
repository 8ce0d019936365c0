"""Text in which a reader sees every character."""

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


def visible(text: str) -> str:
    r"""With `\u202e` for characters without a shape of their own, and for those that turn the direction of others.

    What is left can stand in HTML and in XML.
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
