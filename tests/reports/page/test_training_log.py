from phis_lab.reports.page.training_log import training_errors


def test_a_log_gives_the_errors_of_its_whole_rows(tmp_path):
    rows = [
        "step,train/loss,train/a/teacher_mse,train/b/teacher_mse",
        "1,9,2.0,",
        "2,9,nan,3",
        "x,9,1,1",
        "3,9,-1,1e400",
    ]
    (tmp_path / "metrics.csv").write_text("\n".join([*rows, "4,9,1.5,2", "5,9,1"]))
    found = training_errors([("phis", 7, tmp_path), ("none", 0, tmp_path / "nowhere")])
    assert [tuple(row) for row in found.itertuples(index=False)] == [
        ("phis", 7, "a", 1, 2.0),
        ("phis", 7, "b", 2, 3.0),
        ("phis", 7, "a", 4, 1.5),
        ("phis", 7, "b", 4, 2.0),
    ]


def test_a_long_log_is_thinned_and_one_that_is_no_text_is_none(tmp_path):
    lines = [f"{step},1.0" for step in range(5000)]
    (tmp_path / "metrics.csv").write_text("\n".join(["step,train/a/teacher_mse", *lines, ""]))
    assert len(training_errors([("phis", 0, tmp_path)])) == 200
    (tmp_path / "metrics.csv").write_bytes(b"\x00\xff" * 99)
    assert training_errors([("phis", 0, tmp_path)]).empty
