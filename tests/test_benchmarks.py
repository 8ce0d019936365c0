"""The harness of the benchmarks: its arithmetic, its tables, and what it does when something is missing."""

import json
import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu, runner
from benchmarks.__main__ import NAMES
from benchmarks.harness import Comparison, Measurement, MissingPeerError, Seconds, in_turns, measured, peer_module
from benchmarks.machine import Rates
from benchmarks.memory_use import PeakMemory
from benchmarks.report import as_data, markdown, save

ROOT = Path(__file__).parents[1]
RATES = Rates(100.0, 400.0, 150.0, 20.0)
FACTS = {
    "error": None,
    "commit": "abc+dirty",
    "date": "2026-01-01",
    "versions": {"torch": "2"},
    "device": {"cpu": "a CPU", "threads": 2, "bf16": True},
    "machine": RATES._asdict(),
}


def comparison(seconds=()):
    return Comparison("name", "ours", "a | b", "at most 1", "equal", seconds=list(seconds))


def test_in_turns_warms_up_then_alternates_who_goes_first():
    calls = []
    in_turns(comparison(), lambda: calls.append("A"), lambda: calls.append("B"), pairs=3)
    assert "".join(calls) == "AB" + "ABBAAB"


def test_actions_that_clock_themselves_are_believed():
    row = in_turns(comparison(), lambda: Seconds(3), lambda: Seconds(2), pairs=4)
    assert row.seconds == [(3, 2)] * 4
    assert row.facts()["median_ratio"] == 1.5


def test_the_ratio_is_the_median_over_pairs_not_of_the_medians():
    row = comparison([(1, 1), (2, 1), (9, 3)])
    assert row.ratios == [1, 2, 3]
    assert "| **2.000** | 1.000 to 3.000 |" in row.row()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")
def test_peak_memory_counts_what_was_freed_again():
    peak = PeakMemory()
    with peak.watched(), mmap.mmap(-1, 50_000_000) as block:  # the heap may hold as much that is free
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
    assert peak.megabytes == pytest.approx(50, abs=5)


def test_measured_takes_the_median_and_the_range():
    row = measured("name", "slope", [3.0, 1.0, 2.0], "about 2", "fit", [])
    assert (row.value, row.low, row.high) == (2, 1, 3)


def test_tables_survive_the_way_through_json():
    rows = [comparison([(1.0, 2.0)]), Measurement("name", "slope", 1.0, 0.9, 1.1, "about 1", "fit", [(1.0, 2.0)])]
    result = json.loads(json.dumps(FACTS | {"rows": [as_data(row) for row in rows]}))
    text = markdown({"name": result})
    for row in rows:
        assert row.row() in text
    assert "a \\| b" in text
    assert "abc+dirty" in text
    assert str(RATES) in text


def test_saving_one_benchmark_keeps_the_others(tmp_path):
    save("a", FACTS | {"rows": []}, tmp_path)
    save("b", FACTS | {"rows": [], "error": "no faiss"}, tmp_path)
    assert set(json.loads((tmp_path / "results.json").read_text())) == {"a", "b"}
    assert "- `b`: no faiss" in (tmp_path / "RESULTS.md").read_text()


def test_a_missing_peer_is_named_with_the_command_that_installs_it():
    with pytest.raises(MissingPeerError, match=r"no_such_peer.*pip install -e '\.\[bench\]'"):
        peer_module("no_such_peer")


def test_a_benchmark_that_fails_costs_neither_its_own_rows_nor_the_others(tmp_path, monkeypatch):
    package = tmp_path / "some_benchmarks"
    package.mkdir()
    (package / "__init__.py").touch()
    row = "from benchmarks.harness import Comparison\n"
    row += "def run():\n    yield Comparison('x', 'a', 'b', '', '', '', [(1, 1)])\n"
    (package / "fails.py").write_text(row + "    assert False, 'the gate'\n")
    (package / "works.py").write_text(row)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(runner, "rates", lambda: RATES)
    failures = runner.run_all(["fails", "works"], tmp_path, "some_benchmarks")
    results = json.loads((tmp_path / "results.json").read_text())
    assert failures == {"fails": "AssertionError: the gate"}
    assert [len(results[name]["rows"]) for name in ("fails", "works")] == [1, 1]


def test_an_unknown_benchmark_lists_those_that_there_are():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "momentz"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "momentz" in done.stderr
    assert all(name in done.stderr for name in NAMES)


def test_the_distiller_and_the_calls_that_it_is_measured_against_lose_the_same(monkeypatch):
    from benchmarks import overhead

    monkeypatch.setattr(overhead, "STEPS", 6)
    ours = overhead._tiny()
    bare = overhead.BareCalls(ours)
    ours()
    bare()
    assert ours.losses["arm"] == bare.losses
    assert len(bare.losses) == 6


@pytest.mark.skipif(gpu.IS_GPU, reason="the rehearsal is for machines without a GPU")
def test_what_a_card_is_measured_with_runs_without_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "RESULTS", tmp_path / "gpu.json")
    monkeypatch.setattr(gpu, "TABLE", tmp_path / "GPU.md")
    monkeypatch.setattr(gpu, "REPEATS", 1)
    with pytest.raises(SystemExit) as end:
        gpu.main()
    assert end.value.code == 0, capsys.readouterr()
    rows = {row["name"]: row for row in json.loads((tmp_path / "gpu.json").read_text())["rows"]}
    assert {"PHI-S over identity", "teacher sam_h", "twelve arms over twelve solo runs, from these"} <= set(rows)
    assert all(row["value"] > 0 for row in rows.values())
    assert "a rehearsal with tiny sizes" in (tmp_path / "GPU.md").read_text()


def test_a_part_that_breaks_on_a_card_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "RESULTS", tmp_path / "gpu.json")
    monkeypatch.setattr(gpu, "TABLE", tmp_path / "GPU.md")

    def broken():
        yield gpu.Row("first", 1.0, "s", "")
        raise RuntimeError("out of memory")

    rows = gpu.measure([broken, lambda: iter([gpu.Row("second", 2.0, "s", "")])])
    assert [row.name for row in rows] == ["first", "broken (broke)", "second"]
    assert "out of memory" in rows[1].limit
