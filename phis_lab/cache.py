"""Where downloads and indexes are kept between runs."""

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """Returns the folder `$PHIS_LAB_CACHE/<parts>` and creates it; the default root is `~/.cache/phis_lab`.

    Whatever is written there must be written to a temporary name and renamed, so that an interrupted or a
    parallel run never leaves half a file under a final name.
    """
    folder = Path(os.environ.get("PHIS_LAB_CACHE") or "~/.cache/phis_lab").expanduser().joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
