"""What to say after Hydra refused an option: the nearest names, and the ones that exist. Import-light."""

import difflib
import re
from collections.abc import Iterator, Sequence

import yaml

from phis_lab.config.globs import CONF

OPEN_GROUPS = ("teachers", "logger")  # keyed by names that the user chooses


def explain(arguments: Sequence[str]) -> Iterator[str]:
    """Yield what exists for every override that names no config group, no option, or no key of its group."""
    groups = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "hydra")
    top = yaml.safe_load((CONF / "config.yaml").read_text())
    options = [key for key in top if key not in ("defaults", "hydra", *groups)]
    known = sorted({*groups, *options, "hydra"})
    for argument in arguments:
        found = re.match(r"[+~]*([A-Za-z_]\w*)(?:\.(\w+))?[^=]*=", argument)
        if not found:
            continue
        word, key = found.groups()
        if word not in known:
            yield f"\nThere is no option '{word}'.{_guess(word, known)}"
            yield f"Groups: {', '.join(groups)}.\nOptions: {', '.join(options)}."
            yield "See `python run.py --help` and `python run.py --cfg job`."
        elif key and word in groups and word not in OPEN_GROUPS and key not in (keys := _keys(word, arguments)):
            yield f"\nThere is no option '{word}.{key}'.{_guess(key, keys)}"
            yield f"Options of {word}: {', '.join(keys)}."


def _guess(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _keys(group: str, arguments: Sequence[str]) -> list[str]:
    """Options of the file that was chosen in a group, or else of the default."""
    defaults = yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    chosen = {group: option for item in defaults if isinstance(item, dict) for group, option in item.items()}
    chosen |= dict(argument.partition("=")[::2] for argument in arguments)
    files = [yaml.safe_load(file.read_text()) or {} for file in (CONF / group).glob(f"{chosen.get(group)}.yaml")]
    return sorted({key for file in files for key in file if not key.startswith("_") and key != "defaults"})
