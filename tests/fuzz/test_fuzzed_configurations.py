"""Whatever an option file holds and whatever is typed: a configuration is composed, or refused in a sentence."""

import os
import re
import signal
import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
import yaml
from fuzzed import ANYTHING
from hypothesis import example, given
from hypothesis import strategies as st

from phis_lab.config.check import check
from phis_lab.config.compose import composer
from phis_lab.config.resolvers import to_plain
from phis_lab.config.sound import refuse_ineffective
from phis_lab.refusals import REFUSALS, sentence

LONGEST_S = 120
"""A composition takes a second; one that takes so long hangs, however busy the machine is."""


@contextmanager
def no_hang() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise AssertionError(f"nothing was answered in {LONGEST_S} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def answer(overrides: Sequence[str], folder: Path | None = None) -> str:
    """What `phis-lab train` says to a command line before anything is loaded; nothing where it would begin."""
    try:
        with no_hang(), composer(overrides, None if folder is None else str(folder)) as command:
            config = command.sound()
            refuse_ineffective(config)
            check(to_plain(config))
    except REFUSALS as refused:
        said = sentence(refused)
        assert said.strip()
        assert len(said) < 20_000, said[:2000]
        assert not any(bare in said for bare in ("Traceback", "recursion depth", "object at 0x")), said
        return said
    return ""


KEYS = st.sampled_from(["_target_", "_partial_", "_args_", "_convert_", "defaults", "hydra", "dim", "gamma", "name"])
TARGETS = st.sampled_from(["phis_lab.normalizers.PhiS", "os.system", "phis_lab", "", "builtins.dict", "a.b", "${x}"])
VALUES = (
    ANYTHING | TARGETS | st.sampled_from([10**400, float("nan"), float("inf"), "???", "${hydra:job}", "${.x}", b"\x00"])
)
NODES = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
SIGNS = st.text(st.sampled_from("&*a: -[]{},\n\t#!|>'\"%@`?$<~0.é\x00\ufeff"), max_size=60)
LINES_OF_FILES = """
# @package _global_
# @package student
defaults:
  - _self_
  - override /student: null
  - /normalizer: own
  - own
_target_: phis_lab.normalizers.PhiS
a: &a [1]
b: *a
<<: *a
a: &a [*a]
? [1]
: 2
1: 2
null: 3
---
...
x: !!python/object:os.system {}
x: 2020-01-01
x: !!binary aGk=
x: !!set {a}
x: ${x}
x: ${oc.env:HOME}
x: 0x_
x: 1_000
normalizer: 3
student:
  image_size: ${trainer}
seed: [1]
hydra:
  run: {dir: 3}
"""
LINES = st.lists(st.sampled_from(LINES_OF_FILES.splitlines()) | st.just("x: " + "9" * 5000), max_size=8).map("\n".join)
CONTENT = (
    NODES.map(lambda node: yaml.dump(node, allow_unicode=True).encode("utf-8", "surrogatepass"))
    | SIGNS.map(lambda text: text.encode())
    | LINES.map(str.encode)
    | st.binary(max_size=80)
)
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
NESTED = [("[" * depth + "]" * depth) for depth in (60, 300, 5000)]


@given(CONTENT, st.sampled_from(["normalizer", "student", "experiment", "teachers", "data"]))
@example(BOMB.encode(), "normalizer")
@example(b"a: &a [*a]\n", "experiment")
@example(NESTED[0].encode(), "normalizer")
@example(f"x: {NESTED[0]}".encode(), "normalizer")
@example(f"# @package _global_\nx: {NESTED[1]}".encode(), "experiment")
@example(f"x: {NESTED[2]}".encode(), "normalizer")
@example(b"# @package _global_\nseed: " + b"9" * 5000, "experiment")
@example(b"defaults: [own]", "normalizer")
@example(b"3", "experiment")
def test_option_files(folder: Path, content: bytes, group: str) -> None:
    path = folder / "files" / group / "own.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    try:
        answer([f"{group}=own"], path.parents[1])
    finally:
        path.unlink()


NAMES = """
normalizer teachers student.image_size seed data hydra.mode hydra.run.dir trainer stages teachers.xfeat student x.y
logger evaluation.tasks task task@evaluation.tasks.a paths.outputs experiment hydra.searchpath hydra
hydra/launcher normalizer.gamma
"""
WORDS = st.sampled_from(NAMES.split())
VALUES_TYPED = r"""
phis null 1 -1 1e999 [1,2] {a:1} {} [] 1,2 glob(*) choice(1,2) range(1,3) interval(0,1) ${seed} ${.} ${x:y} 'a' " ???
true {_target_:os.system} nan \ é shuffle(range(3)) sort(1,2) int(a) pkg://a ../.. / glob(*/*) range(1,1000000000) 1__0
0x1 {,}
"""
TYPED = st.sampled_from(["", " ", "\x00", *VALUES_TYPED.split()]) | st.text(max_size=20)
SIGN = st.sampled_from(["", "", "+", "++", "~", "-", "--"])
NAMED = st.tuples(SIGN, WORDS | st.text(string.printable, max_size=12), TYPED)
OVERRIDES = NAMED.map(lambda parts: f"{parts[0]}{parts[1]}={parts[2]}") | st.text(max_size=30)


@given(st.lists(OVERRIDES, min_size=1, max_size=3))
@example(["x" + ".x" * 3000 + "=1"])
@example(["+x=" + NESTED[0]])
@example(["+x=" + NESTED[1]])
@example(["+x=" + NESTED[2]])
@example(["+x=" + "{a:" * 200 + "1" + "}" * 200])
@example(["+teachers.a=${teachers}"])
@example(["+x=${x}"])
@example(["seed=range(1,1000000000)"])
@example(["hydra.searchpath=[\x00]"])
def test_command_lines(overrides: list[str]) -> None:
    answer(overrides)


@pytest.mark.parametrize("name", ["\x00", "a" * 5000, "no/such", "own.yaml"])
def test_folders_of_any_name(folder: Path, name: str) -> None:
    (folder / "own.yaml").touch()
    with pytest.raises(REFUSALS), composer([], str(folder / name)):
        pass


@pytest.mark.parametrize(
    "swept", ["seed=range(1,1000000000)", "seed=range(1e18)", "seed=range(400) data.seed=range(400)"]
)
def test_a_sweep_of_more_jobs_than_can_be_listed_is_refused_without_listing_them(swept: str) -> None:
    with (
        no_hang(),
        composer(swept.split()) as command,
        pytest.raises(ValueError, match=r"seed=range.*: the sweep has more"),
    ):
        command.jobs()


def test_a_pipe_in_the_place_of_an_option_file_is_not_waited_for(folder: Path) -> None:
    path = folder / "pipes" / "normalizer" / "own.yaml"
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert "no such option" in answer(["normalizer=own"], path.parents[1])
    assert "no such option" in answer(["normalizer=owm"], path.parents[1])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (BOMB, "line 5: with its aliases .* written out, it holds more than 100,000 values"),
        ("a: &a [*a]", r"line 1: \*a stands within &a"),
        (NESTED[0], "line 1: it nests deeper than 40 levels"),
        ("x" * 2**21, "has more than 1,048,576 bytes"),
        ("3", "Invalid loaded object type: int"),
        ("null: 1", "Incompatible key type"),
    ],
)
def test_what_is_wrong_with_an_own_file_is_told_with_its_name(folder: Path, content: str, says: str) -> None:
    path = folder / "told" / "normalizer" / "own.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    assert re.match(rf"{re.escape(str(path))}\b.*{says}", answer(["normalizer=own"], path.parents[1]))


def test_aliases_that_stand_for_little_are_read(folder: Path) -> None:
    path = folder / "short" / "experiment" / "own.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\nseed: &s 3\ntrainer: {max_steps: *s}\n")
    assert answer(["experiment=own"], path.parents[1]) == ""
