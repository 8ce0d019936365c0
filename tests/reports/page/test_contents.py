from synthetic_records import percent, record

from phis_lab.reports import Section, Study
from phis_lab.reports.page.contents import of_study


def chapter(records, root, folders=()):
    return of_study(root, Section(Study("a study", tuple(records), folders=folders), "identity"))


def test_teachers_own_scores_are_rows_below_the_students(tmp_path):
    scores = {"robustness/clean/knn_accuracy": percent(60), "robustness/clean/xfeat/knn_accuracy": percent(71.5)}
    detail = {name: metric.model_copy(update={"detail": "xfeat" in name}) for name, metric in scores.items()}
    methods = chapter([record(name, metrics=detail, history=[]) for name in ("identity", "phis")], tmp_path).tables[0]
    (own,) = [row for row in methods.below if row[0].text == "(xfeat itself)"]
    place = [name.startswith("robustness clean knn") for name in methods.sheet.columns].index(True)
    assert own[place].text == "71.50"
    assert {cell.text for n, cell in enumerate(own) if n not in {0, place}} == {"–"}
    assert len(own) == len(methods.sheet.columns)
    assert not any(cell.strong for cell in own)


def test_a_run_without_evaluations_shows_what_it_logged(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "metrics.csv").write_text("step,train/xfeat/teacher_mse\n1,3.0\n2,2.0\n")
    made = chapter([record("identity", history=[])], tmp_path, (tmp_path / "a",))
    (logged,) = [picture for picture in made.pictures if picture.title == "Error of each teacher during training"]
    assert "of the batches of training" in logged.caption
