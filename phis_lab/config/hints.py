"""What to say after Hydra refused an option: the nearest names, and the ones that exist. Import-light."""

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

CONF = Path(__file__).resolve().parents[2] / "conf"


def explain(arguments: Sequence[str]) -> Iterator[str]:
    """Yield a line for every override whose first word is neither a config group nor a top-level option."""
    groups = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name != "hydra")
    options = [key for key in yaml.safe_load((CONF / "config.yaml").read_text()) if key not in ("defaults", "hydra")]
    known = sorted({*groups, *options, "hydra"})
    for argument in arguments:
        word = re.match(r"[+~]*([A-Za-z_]\w*)[^=]*=", argument)
        if word and word[1] not in known:
            near = difflib.get_close_matches(word[1], known, n=1)
            guess = f" Did you mean '{near[0]}'?" if near else ""
            yield f"\nThere is no option '{word[1]}'.{guess}"
            yield f"Groups: {', '.join(groups)}.\nOptions: {', '.join(options)}."
            yield "See `python run.py --help` and `python run.py --cfg job`."
