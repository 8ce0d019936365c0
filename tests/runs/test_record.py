import hashlib
import json
import math
import os
from contextlib import suppress

import pytest
from synthetic_records import percent, rank, record, write_study

from phis_lab.runs import find_records, read_record, read_records, unfinished_runs, write_record


def test_a_record_survives_its_file(tmp_path):
    written = record(seed=3, normalizers={"xfeat": {"class": "PhiS", "rotation": "hadamard"}})
    assert read_record(write_record(tmp_path / "new" / "run", written)) == written


def test_nothing_but_the_result_is_left_in_the_folder(tmp_path):
    write_record(tmp_path, record())
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_second_write_replaces_the_first(tmp_path):
    write_record(tmp_path, record(seed=0))
    assert read_record(write_record(tmp_path, record(seed=1))).seed == 1


def test_nan_and_infinities_survive_in_strict_json(tmp_path):
    values = {"nan": math.nan, "inf": math.inf, "minus": -math.inf}
    diverged = record(
        status="failed",
        failure="loss is NaN at step 12",
        metrics={name: percent(value) for name, value in values.items()},
    )
    path = write_record(tmp_path, diverged)
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    read = {name: metric.value for name, metric in read_record(path).metrics.items()}
    assert math.isnan(read["nan"])
    assert (read["inf"], read["minus"]) == (math.inf, -math.inf)


def test_a_metric_may_have_no_better_direction(tmp_path):
    written = record(metrics={"effective_rank/summary": rank(81.5)})
    assert read_record(write_record(tmp_path, written)).metrics["effective_rank/summary"].higher_is_better is None


@pytest.mark.parametrize("status", [{"status": "failed"}, {"status": "complete", "failure": "loss is NaN"}])
def test_a_failed_run_and_only_a_failed_run_gives_a_reason(status):
    with pytest.raises(ValueError, match="gives a reason"):
        record(**status)


def test_a_truncated_file_is_named(tmp_path):
    path = write_record(tmp_path, record())
    path.write_text(path.read_text()[:200])
    with pytest.raises(ValueError, match=r"result\.json is not whole JSON"):
        read_record(path)


@pytest.mark.parametrize("content", ['{"schema_version": 99}', "{}", "[1]"])
def test_another_schema_version_is_refused_with_both_numbers(tmp_path, content):
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"result\.json has schema version .* reads 2"):
        read_record(path)


def test_missing_and_unknown_fields_are_named(tmp_path):
    path = write_record(tmp_path, record())
    content = json.loads(path.read_text())
    content["sed"] = content.pop("seed")
    del content["content_sha256"]
    content["content_sha256"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"result\.json is not a run's record: seed: .*; sed: "):
        read_record(path)


def test_a_flipped_bit_is_found_or_changes_nothing(tmp_path):
    written = record(normalizers={"xfeat": {"class": "PhiS", "rotation": "hadamard"}})
    path = write_record(tmp_path, written)
    content = path.read_bytes()
    changed = []
    for position in range(0, len(content), 5):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1 << position % 8]) + content[position + 1 :])
        with suppress(ValueError):
            changed.append(read_record(path))
    assert all(read == written for read in changed)  # a space between fields
    assert len(changed) < 0.4 * len(content) / 5


def test_a_record_may_be_laid_out_anew(tmp_path):
    path = write_record(tmp_path, written := record())
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert read_record(path) == written


@pytest.mark.parametrize("change", [{"seed": 7}, {"steps": 10**6}, {"content_sha256": ""}])
def test_a_record_that_was_changed_is_refused(tmp_path, change):
    path = write_record(tmp_path, record())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=r"result\.json is not what was written"):
        read_record(path)


def test_records_are_read_from_every_depth(tmp_path):
    write_study(tmp_path, [record("phis", 0), record("identity", 1)])
    write_record(tmp_path / "a" / "b" / "c", record("mse", 2))
    assert [r.method for r in read_records(tmp_path)] == ["mse", "identity", "phis"]
    assert read_records(tmp_path / "phis" / "empty") == []


def test_unfinished_runs_are_those_begun_without_a_result(tmp_path):
    for begun in (
        "plain/config.yaml",
        "hydra/.hydra/config.yaml",
        "resumable/checkpoints/last.ckpt",
        "plain/wandb/files/config.yaml",
        "done/config.yaml",
        "done/wandb/files/config.yaml",
        "sweep/config.yaml",
    ):
        (tmp_path / begun).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / begun).touch()
    write_record(tmp_path / "done", record())
    write_record(tmp_path / "sweep" / "arm", record())
    assert [path.name for path in unfinished_runs(tmp_path)] == ["hydra", "plain", "resumable"]


def test_what_is_no_record_is_named_and_the_others_are_read(tmp_path):
    write_study(tmp_path, [record("phis", 0)])
    for name, content in (("empty", ""), ("torn", '{"schema'), ("foreign", '{"accuracy": 1}'), ("binary", "\0\xff")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
        (tmp_path / name / "result.json").write_text(content, encoding="latin-1")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "result.json").write_text("[" * 10**5)
    (tmp_path / "folder" / "result.json").mkdir(parents=True)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "result.json")
    found = find_records(tmp_path)
    assert [r.method for r in found.records.values()] == ["phis"]
    names = ["binary", "deep", "empty", "folder", "foreign", "pipe", "torn"]
    assert [reason.split("/result.json")[0].rpartition("/")[2] for reason in found.unreadable] == names
    assert [path.name for path in unfinished_runs(tmp_path)] == ["empty"]
