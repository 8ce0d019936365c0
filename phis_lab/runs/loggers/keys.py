"""Whether a key of W&B is known here, without importing `wandb`."""

import netrc
import os
from urllib.parse import urlsplit


def has_wandb_key() -> bool:
    """Whether WANDB_API_KEY is set, or the user's netrc holds a key for the server of W&B."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
