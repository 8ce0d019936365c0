"""The Hugging Face hub's client loads an exported student, and sends it."""

from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
import yaml
from exported_runs import images, make_run
from exports import exported, invoke
from torch.testing import assert_close

from phis_lab import PretrainedStudent, load_student
from phis_lab.commands.export import export_run
from phis_lab.formats import Format


@torch.no_grad()
def assert_hub_equals(model, own):
    (tokens, predictions), (expected, wanted) = model(images()), own(images())
    assert_close(tokens, expected)
    assert_close(predictions, wanted)


def test_the_hub_client_loads_the_student_and_saves_it_again(tmp_path):
    folder, own = exported(tmp_path, Format.HUB, options={"class_tokens": "per_teacher"})
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    loaded = PretrainedStudent.from_pretrained(str(folder))
    assert not loaded.training
    assert_hub_equals(loaded, own)
    assert_hub_equals(load_student(folder), own)
    loaded.save_pretrained(tmp_path / "again")
    for file in folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_a_changed_file_of_the_hub_is_refused(tmp_path):
    folder, _ = exported(tmp_path, Format.HUB)
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace("phis_lab.students.ViT", "os.system"))
    with pytest.raises(ValueError, match=r"config\.json names os\.system"):
        PretrainedStudent.from_pretrained(str(folder))
    (folder / "config.json").write_text(text)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"model\.safetensors is not the file that config\.json describes"):
        load_student(folder)


def test_a_repository_is_fetched_and_read_as_a_folder(tmp_path, monkeypatch):
    folder, own = exported(tmp_path, Format.HUB)
    asked = []

    def snapshot(repository, **options):
        asked.append((repository, options["revision"], sorted(options["allow_patterns"])))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", lambda **_: str(folder / "config.json"))
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert_hub_equals(PretrainedStudent.from_pretrained("me/eyes", revision="v1"), own)
    assert asked == [("me/eyes", "v1", ["README.md", "config.json", "model.safetensors"])]


class Hub:
    """The hub's client at its boundary."""

    refuses = False

    def __init__(self):
        self.calls = []

    def create_repo(self, repo_id, **options):
        if self.refuses:
            raise huggingface_hub.errors.LocalTokenNotFoundError("no token")
        self.calls.append(("create", repo_id, options))
        return SimpleNamespace(repo_id=f"me/{repo_id}")

    def upload_folder(self, **options):
        names = {file.name for file in options["folder_path"].iterdir()}
        self.calls.append(("upload", options["repo_id"], names & set(options["allow_patterns"])))
        return SimpleNamespace(commit_url="https://hub/commit/1")


@pytest.fixture
def hub(monkeypatch):
    made = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: made)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return made


def test_the_files_are_sent_to_the_hub_in_one_commit(tmp_path, hub):
    make_run(tmp_path / "run")
    done = invoke(tmp_path / "run", tmp_path / "out", "--to", "hub,timm", "--push-to-hub", "eyes")
    assert done.exit_code == 0, done.output
    (create, upload) = hub.calls
    assert create[:2] == ("create", "eyes")
    assert create[2]["exist_ok"]
    assert upload == ("upload", "me/eyes", {"config.json", "model.safetensors", "README.md"})


def test_what_the_hub_refuses_is_told_and_the_files_stay(tmp_path, hub):
    make_run(tmp_path / "run")
    hub.refuses = True
    done = invoke(tmp_path / "run", tmp_path / "out", "--to", "hub", "--push-to-hub", "me/eyes")
    assert done.exit_code == 1
    assert "hf upload me/eyes" in " ".join(done.stderr.split())
    load_student(tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--push-to-hub", "me/eyes"], "sends the files of --to hub; add that"),
        (["--to", "hub", "--push-to-hub", "a/b/c"], "names no repository"),
        (["--to", "hub", "--push-to-hub", ""], "names no repository"),
    ],
)
def test_a_wrong_repository_is_refused_before_anything_is_written(tmp_path, hub, arguments, says):
    make_run(tmp_path / "run")
    done = invoke(tmp_path / "run", tmp_path / "out", *arguments)
    assert done.exit_code == 1
    assert says in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()
    assert hub.calls == []


ODD = "a|b <img src=x> `code` [link](http://x) *bold* \u202e # \n---\n| é"


def test_odd_names_break_nothing_in_the_card(tmp_path):
    make_run(tmp_path / "run", name=ODD, method=ODD, choices={"data": ODD}, command=ODD)
    export_run(tmp_path / "run", tmp_path / "out", formats=[Format.HUB])
    text = (tmp_path / "out" / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "phis-lab"
    assert "<img" not in body.replace("\\<img", "")
    assert "\u202e" not in text
    assert huggingface_hub.ModelCard(text).data.license == "other"
    rows = [line for line in body.splitlines() if line.startswith("| data |")]
    assert len(rows) == 1
    for wanted in ("## Teachers", "## Data", "## Recipe", "## Results", "## Intended use", "knn/accuracy", "sam"):
        assert wanted in body
