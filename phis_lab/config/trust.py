"""What a run or an export of a stranger's may name: nothing but what the shipped configuration names."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import yaml

from phis_lab.config.option_files import CONF
from phis_lab.groups import GROUPS


def refuse_untrusted(config: Mapping[str, object], where: str, trusted: Sequence[str]) -> None:
    """Refuse classes and functions that a file names, before any of their modules is imported.

    To import or to call what a stranger wrote is to run the stranger's program.

    Args:
        config: nodes by the group that they are of; each may name what the option files of that group name.
        where: the file it was read from.
        trusted: modules, or classes of them, that the user named beside those of the shipped configuration.

    Raises:
        ValueError: naming what is not trusted, and how to trust it; or a text is still to be resolved.
    """
    if "${" in repr(config):  # in a key or a value, however deep
        raise ValueError(
            f"{where} holds ${{...}}, which a written configuration never does and which could run anything"
        )
    if strange := untrusted(config, trusted):
        module = strange[0].rpartition(".")[0]
        raise ValueError(
            f"{where} names {', '.join(strange)}, which the configuration of phis_lab does not use there and which "
            f"could run anything; if you trust it, say so: --trust {module} on the command line, trusted=['{module}'] "
            "in Python"
        )


def untrusted(config: Mapping[str, object], trusted: Sequence[str]) -> list[str]:
    """What a configuration names that neither the option files of the same group nor the user do."""
    return sorted(
        {
            target
            for group, node in config.items()
            for target in targets({group: node})
            if target not in _shipped(group) and not _is_named(target, trusted)
        }
    )


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


def _is_named(target: str, trusted: Sequence[str]) -> bool:
    return any(target == name or target.startswith(f"{name}.") for name in trusted)


@cache
def _shipped(group: str) -> frozenset[str]:
    """What the option files name that can be put into a node: of its own group and of those with a place in it."""
    folders = [
        name
        for name, facts in GROUPS.items()
        if group not in GROUPS
        or name == group
        or (facts.place or "").startswith(group)
        or (facts.interpolated and group == "evaluation")
    ]
    files = (file for name in folders for file in (CONF / name).rglob("*.yaml"))
    return frozenset(target for file in files for target in targets(yaml.safe_load(file.read_text(encoding="utf-8"))))
