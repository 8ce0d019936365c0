"""Where a teacher's parameters are found, and the fingerprint that goes into the record."""

import hashlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from phis_lab.teachers.image_sizes import check_image_size
from phis_lab.whole_files import sha256_of

HUB = "hub"
RANDOM = "none, random weights"
"""In the place of a licence."""
HUB_TIMEOUT = 5.0
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".onnx")


class MissingWeightsError(ValueError):
    """A teacher's weights cannot be reached; the message says what to supply."""


@dataclass(frozen=True)
class Weights:
    """What a teacher was loaded from.

    Args:
        source: a package file, a hub file, a path, or "random initialisation".
        sha256: of the file; of the sorted parameters where there is no file.
    """

    source: str
    sha256: str

    @classmethod
    def of_file(cls, file: Path, source: str | None = None, parts: Sequence[Path] = ()) -> "Weights":
        """Fingerprints a file, together with those that it keeps its parameters in, if it has any."""
        digests = [sha256_of(each) for each in (file, *parts)]
        whole = hashlib.sha256(" ".join(digests).encode()).hexdigest() if parts else digests[0]
        return cls(source or str(file), whole)

    def of_network(self, key: str) -> "Weights":
        """Names the network, of those in the file, that was loaded; two of them share the file's fingerprint."""
        return Weights(f"{self.source}, weights_key={key}", self.sha256) if key else self

    @classmethod
    def of_parameters(cls, state: Mapping[str, Tensor]) -> "Weights":
        """Fingerprints a random initialisation: names, shapes and values (none on the meta device), ordered by name."""
        digest = hashlib.sha256()
        for key in sorted(state):
            digest.update(f"{key} {list(state[key].shape)} {state[key].dtype}".encode())
            if state[key].is_meta:
                continue
            digest.update(state[key].detach().cpu().contiguous().float().numpy().tobytes())
        return cls("random initialisation", digest.hexdigest())


@dataclass(frozen=True)
class HubFile:
    """A repository of the Hugging Face hub and the names that its weights may have, best first."""

    repository: str
    names: tuple[str, ...]

    def cached(self) -> Path | None:
        """Returns the file if an earlier run has downloaded it."""
        import huggingface_hub as hub  # noqa: PLC0415  of the bench; the library does without

        found = (hub.try_to_load_from_cache(self.repository, name) for name in self.names)
        return next((Path(path) for path in found if isinstance(path, str)), None)

    def remote_name(self) -> str:
        """Asks the hub, with a short timeout, which of the names it has.

        Raises:
            MissingWeightsError: offline, gated, or none of the names is there.
        """
        import huggingface_hub as hub  # noqa: PLC0415

        if hub.constants.HF_HUB_OFFLINE:
            raise MissingWeightsError(f"HF_HUB_OFFLINE is set and {self.repository} is not in the hub's cache")
        if unreachable := hub_unreachable():
            raise MissingWeightsError(f"the hub did not answer for {self.repository} ({unreachable})")
        try:
            siblings = hub.model_info(self.repository, timeout=HUB_TIMEOUT).siblings or []
        except Exception as error:  # its type changes with the HTTP library that the hub's client uses
            raise MissingWeightsError(f"the hub did not answer for {self.repository} ({error})") from error
        there = {sibling.rfilename for sibling in siblings}
        for name in self.names:
            if name in there:
                return name
        raise MissingWeightsError(f"{self.repository} has none of {list(self.names)}")

    def fetch(self) -> Path:
        """Returns the file, downloading it if needed."""
        import huggingface_hub as hub  # noqa: PLC0415

        return self.cached() or Path(hub.hf_hub_download(self.repository, self.remote_name()))


@cache
def hub_unreachable() -> str:
    """Returns why the hub does not answer, or nothing if it does; tried once, not once per teacher."""
    import huggingface_hub as hub  # noqa: PLC0415

    try:
        hub.get_session().head(hub.constants.ENDPOINT, timeout=HUB_TIMEOUT)
    except Exception as error:  # its type changes with the HTTP library that the hub's client uses
        return str(error) or type(error).__name__
    return ""


def named_repository(weights: str | None) -> str | None:
    """Returns the repository that "hub:owner/repo" names, None for weights from elsewhere."""
    return weights.removeprefix(f"{HUB}:") if weights is not None and weights.startswith(f"{HUB}:") else None


def check_weights(name: str, weights: str | None, hub: HubFile | None) -> None:
    """Raises at once, without downloading, if the weights that an option names cannot be reached.

    Args:
        name: key of the teacher in its set, for the message.
        weights: "hub", "hub:owner/repo", a file, a folder that holds one, or None for random initialisation.
        hub: what `weights` means on the hub.

    Raises:
        MissingWeightsError: with the override that supplies them.
    """
    try:
        if asks_hub(weights):
            require_hub(hub).cached() or require_hub(hub).remote_name()
        elif weights is not None:
            local_file(weights)
    except MissingWeightsError as error:
        raise MissingWeightsError(
            f"teachers.{name}: {error}; give a local file with teachers.{name}.weights=/path/to/file, a "
            "repository with hub:owner/repo, or null for a random network"
        ) from error


def find_weights(name: str, weights: str | None, hub: HubFile | None) -> tuple[Path, str] | None:
    """Returns the file and its name for the record, or None for random initialisation."""
    check_weights(name, weights, hub)
    if weights is None:
        return None
    if asks_hub(weights):
        file = require_hub(hub).fetch()
        return file, f"hub {require_hub(hub).repository}/{file.name}"
    return local_file(weights), weights


def reachable(weights: str | None, hub: HubFile | None) -> Path | None:
    """Returns the file that an option names if it is on this machine already."""
    if weights is None:
        return None
    return require_hub(hub).cached() if asks_hub(weights) else local_file(weights)


def local_file(path: str) -> Path:
    """Returns `path`, or the one weights file in the folder `path`, looking for safetensors first."""
    file = Path(path).expanduser()
    if file.is_file():
        return file
    if not file.is_dir():
        raise MissingWeightsError(f"there is no file or folder {path!r}")
    for suffix in SUFFIXES:
        found = sorted(file.glob(f"*{suffix}"))
        if len(found) == 1:
            return found[0]
        if found:
            raise MissingWeightsError(f"{path!r} holds {[f.name for f in found]}; name one of them")
    raise MissingWeightsError(f"the folder {path!r} holds no file with suffix {', '.join(SUFFIXES)}")


def check_available(options: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks a whole set before any network is built, so that a wrong option or a missing file costs no time.

    Args:
        options: by name, the set's options as plain dicts: `_target_` and the constructor's arguments.

    Raises:
        ValueError: one message for all teachers that refuse an option or whose weights cannot be reached; a
            MissingWeightsError where nothing but weights is missing.
    """
    refused: list[ValueError] = []
    for name, option in options.items():
        teacher = pkgutil.resolve_name(option["_target_"])
        try:
            teacher.check(name, option)
            step = teacher.size_step(option)
            if step is not None and isinstance(size := option.get("image_size"), int):
                check_image_size(size, step)
        except MissingWeightsError as error:
            refused.append(error)
        except ValueError as error:
            refused.append(ValueError(f"teachers.{name}: {error}"))
    if refused:
        message = "\n".join(str(error) for error in refused)
        raise (MissingWeightsError if all(isinstance(e, MissingWeightsError) for e in refused) else ValueError)(message)


def asks_hub(weights: str | None) -> bool:
    """Whether the weights come from the hub."""
    return weights == HUB or named_repository(weights) is not None


def require_hub(hub: HubFile | None) -> HubFile:
    """Returns `hub`; raises MissingWeightsError where no repository is known."""
    if hub is None:
        raise MissingWeightsError("no hub repository is known for this network")
    return hub
