"""Text in which a reader sees every character, on a terminal, in a log and in a file. Import-light."""

import logging
import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    r"""With `\u202e` for characters without a shape of their own, and for those that turn the direction of others.

    What is left can stand in HTML and in XML, moves no cursor, and can be encoded. Line ends and tabs stay.
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def in_one_line(text: str) -> str:
    r"""The same for a name within a line: line ends and tabs become `\n` and `\t`."""
    return visible(text).replace("\n", r"\n").replace("\t", r"\t")


class VisibleFormatter(logging.Formatter):
    """Formats what is logged, so that a name in it sends nothing to the terminal."""

    def format(self, record: logging.LogRecord) -> str:  # noqa: D102
        return visible(super().format(record))
