"""What a run or an export of a stranger's may name: nothing but what the shipped configuration names."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import yaml

from phis_lab.config.option_files import CONF


def refuse_untrusted(node: object, where: str, trusted: Sequence[str]) -> None:
    """Refuse classes and functions that a file names, before any of their modules is imported.

    To import or to call what a stranger wrote is to run the stranger's program.

    Args:
        node: of a configuration.
        where: the file it was read from.
        trusted: modules, or classes of them, that the user named beside those of the shipped configuration.

    Raises:
        ValueError: naming what is not trusted, and how to trust it; or a text is still to be resolved.
    """
    if "${" in repr(node):  # in a key or a value, however deep
        raise ValueError(
            f"{where} holds ${{...}}, which a written configuration never does and which could run anything"
        )
    if strange := untrusted(node, trusted):
        module = strange[0].rpartition(".")[0]
        raise ValueError(
            f"{where} names {', '.join(strange)}, which the configuration of phis_lab does not use and which could run "
            f"anything; if you trust it, say so: --trust {module} on the command line, trusted=['{module}'] in Python"
        )


def untrusted(node: object, trusted: Sequence[str]) -> list[str]:
    """What a node names that neither the shipped configuration nor the user does."""
    return sorted({target for target in targets(node) if not _is_trusted(target, trusted)})


def targets(node: object) -> Iterator[str]:
    """All classes and functions that a node names, however deep."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        for child in node.values():
            yield from targets(child)
    elif isinstance(node, list):
        for child in node:
            yield from targets(child)


def _is_trusted(target: str, trusted: Sequence[str]) -> bool:
    return target in _shipped() or any(target == name or target.startswith(f"{name}.") for name in trusted)


@cache
def _shipped() -> frozenset[str]:
    """What the option files name."""
    return frozenset(
        target for file in CONF.rglob("*.yaml") for target in targets(yaml.safe_load(file.read_text(encoding="utf-8")))
    )
