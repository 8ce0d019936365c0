"""Nothing that a stranger wrote into an export or a run is imported, called or resolved."""

import importlib
import json
import resource

import pytest
import yaml
from test_export import make_run

from phis_lab.commands.export import export_run
from phis_lab.config.exported import load_exported


@pytest.fixture
def run(tmp_path):
    make_run(tmp_path / "run")
    return tmp_path / "run"


HOSTILE = [
    "os.system", "builtins.eval", "subprocess.run", "torch.load", "joblib.load", "pytest.main", "runpy.run_path",
    "phis_lab.data.download._run", "phis_lab.data.download.os.system", "phis_lab.teachers.weights.torch.load",
    "phis_lab.students.student.torch.hub.load", "hydra.utils.get_object", "hydra_zen.instantiate", "torch.nn.Linear",
    "antigravity.webbrowser.open", "phis_lab", "", "phis_lab.students.ViT.__init__", "..os.system",
    "phis_lab.data.fashion_mnist.FashionMNIST",
]  # fmt: skip


@pytest.mark.parametrize("target", HOSTILE)
@pytest.mark.parametrize("place", ["backbone", "head", "deep"])
def test_nothing_that_a_stranger_names_is_imported_or_called(target, place, run, tmp_path, monkeypatch):
    export_run(run, tmp_path / "out")
    description = json.loads((tmp_path / "out" / "student.json").read_text())
    node = {"_target_": target, "_args_": [f"touch {tmp_path / 'taken'}"]}
    if place == "deep":
        description["backbone"]["norm"] = [{"x": node}]
    else:
        description[place] = node
    (tmp_path / "out" / "student.json").write_text(json.dumps(description))
    monkeypatch.setattr(importlib, "import_module", lambda *_: pytest.fail("imported"))
    with pytest.raises(ValueError, match=r"student\.json names .*, which the configuration .* does not use there"):
        load_exported(tmp_path / "out")
    assert not (tmp_path / "taken").exists()


@pytest.mark.parametrize(
    "text",
    ["${oc.create:{_target_:os.system,command:'touch taken'}}", "${oc.env:HOME}", "a${x}"],
    ids=["code", "env", "x"],
)
@pytest.mark.parametrize("at", ["value", "key", "list"])
def test_nothing_that_a_stranger_leaves_to_be_resolved_is_resolved(text, at, run, tmp_path):
    node = {"value": text, "key": {text: 1}, "list": [[text]]}[at]
    export_run(run, tmp_path / "out")
    description = json.loads((tmp_path / "out" / "student.json").read_text())
    (tmp_path / "out" / "student.json").write_text(
        json.dumps(description | {"head": description["head"] | {"x": node}})
    )
    with pytest.raises(ValueError, match=r"student\.json holds \$\{\.\.\.\}"):
        load_exported(tmp_path / "out")
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | {"normalizer": config["normalizer"] | {"x": node}}))
    with pytest.raises(ValueError, match=r"config\.yaml holds \$\{\.\.\.\}"):
        export_run(run, tmp_path / "again")


ODD = {
    "nothing": lambda d: d["backbone"].clear(),
    "a list": lambda d: d.update(head=[]),
    "text": lambda d: d["backbone"].update(depth="many"),
    "null": lambda d: d["backbone"].update(patch_size=None),
    "partial": lambda d: d["backbone"].update(_partial_=True),
    "whole head": lambda d: d["head"].update(_partial_=False),
    "arguments": lambda d: d["backbone"].update(_args_=[1, 2, 3]),
    "odd arguments": lambda d: d["backbone"].update(_args_=7),
    "unknown": lambda d: d["backbone"].update(color="red"),
    "nested": lambda d: d["backbone"].update(width={"a": [1]}),
    "a huge width": lambda d: d["backbone"].update(width=65532),
    "many layers": lambda d: d["backbone"].update(depth=200),
    "more layers than may be": lambda d: d["backbone"].update(depth=10**12),
    "a huge image": lambda d: d["backbone"].update(image_size=16384),
    "a size beside the patch": lambda d: d.update(image_size=33),
    "no teacher": lambda d: d["teachers"].clear(),
    "a method's name": lambda d: d["teachers"].update(forward=d["teachers"].popitem()[1]),
    "wide": lambda d: next(iter(d["teachers"].values())).update(spatial=65536),
    "endless": lambda d: next(iter(d["teachers"].values())).update(spatial=10**15),
    "negative": lambda d: next(iter(d["teachers"].values())).update(spatial=-3),
    "not a number": lambda d: d.update(image_size=float("nan")),
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_an_odd_description_is_refused_in_a_sentence(change, run, tmp_path):
    export_run(run, tmp_path / "out")
    description = json.loads((tmp_path / "out" / "student.json").read_text())
    change(description)
    (tmp_path / "out" / "student.json").write_text(json.dumps(description))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"student\.json|student|head|teacher|another student"):
        load_exported(tmp_path / "out")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB
