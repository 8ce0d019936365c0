"""What leaves the lab is loaded by other programs with the same answers."""

import json
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import onnxruntime
import open_clip
import pytest
import timm
import torch
import yaml
from exported_runs import CONFIG, SIZES, TEACHERS, images, make_run, student
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close
from typer.testing import CliRunner

from phis_lab import ImageEncoder, PretrainedStudent, load_student
from phis_lab.cli import app
from phis_lab.commands.export import export_run
from phis_lab.config.build import build
from phis_lab.data import DataModule
from phis_lab.formats import Format, formats_of
from phis_lab.runs import read_record, write_record
from phis_lab.runs.record import Source
from phis_lab.students import Backbone, LadderHead, MLPHead, Student, TimmViT, ViT
from phis_lab.students.export.onnx import write as write_onnx
from phis_lab.students.export.timm import write as write_timm
from phis_lab.students.export_folder import Channels, Description, Origin

DATA = {
    "data": {"_target_": "phis_lab.data.digits.Digits", "batch_size": 64, "seed": 0, "workers": 0},
    "augmentation": {"_target_": "phis_lab.data.Augmentation", "image_size": 16, "views": 1},
}


def exported(tmp_path, *formats, options=None, config=CONFIG, **more):
    """The folder of an export, and what the package itself loads of the same run."""
    options = options or {}
    make_run(tmp_path / "run", student(**options), config | {"student": config["student"] | options})
    export_run(tmp_path / "run", tmp_path / "out", formats=formats, **more)
    export_run(tmp_path / "run", tmp_path / "own", **{k: v for k, v in more.items() if k == "standardize_images"})
    return tmp_path / "out", load_student(tmp_path / "own")


def invoke(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@torch.no_grad()
def assert_same_tokens(model, own, side, tolerance=1e-5):
    pixels = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(model.pretrained_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    tokens = model.forward_features((pixels - mean) / std)
    expected = own.backbone(pixels, side)
    assert_close(tokens[:, 0], expected.summary, atol=tolerance, rtol=tolerance)
    spatial = tokens[:, model.num_prefix_tokens :].unflatten(1, expected.spatial.shape[1:3])
    assert_close(spatial, expected.spatial, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("options", [{}, {"spectral": True}, {"layer_scale": 0.5}], ids=["plain", "spectral", "scaled"])
def test_timm_loads_the_backbone_at_any_image_size(tmp_path, options):
    folder, own = exported(tmp_path, Format.TIMM, options=options)
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    for side in (16, 24):
        assert_same_tokens(model, own, side)
    assert model.pretrained_cfg["mean"] == (0.0, 0.0, 0.0) or list(model.pretrained_cfg["mean"]) == [0.0] * 3
    assert tuple(model.pretrained_cfg["input_size"]) == (3, 16, 16)


def test_timm_takes_cropped_positions_at_the_students_size(tmp_path):
    folder, own = exported(tmp_path, Format.TIMM, options={"cpe_max_size": 32})
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert_same_tokens(model, own, 16)
    with pytest.raises(AssertionError):
        model.forward_features(torch.rand(1, 3, 24, 24))


def described(student):
    """What the writers are told of a student that no run trained."""
    return Description(
        phis_lab="1",
        backbone={},
        head={},
        teachers={name: Channels(summary=summary, spatial=spatial) for name, (summary, spatial) in TEACHERS.items()},
        image_size=student.backbone.image_size,
        origin=Origin(study="s", method="m", seed=0, commit="c", config_sha256="0"),
    )


@pytest.mark.parametrize(
    "model", ["vit_base_patch32_clip_224", "vit_small_patch14_reg4_dinov2", "vit_tiny_patch16_224"]
)
def test_a_named_model_of_timm_is_one_again(tmp_path, model):
    torch.manual_seed(0)
    side = 28 if "14" in model else 64
    small = {"embed_dim": 24, "depth": 2, "num_heads": 2}
    vit = timm.create_model(model, img_size=side, num_classes=0, dynamic_img_size=True, **small)
    backbone = TimmViT.__new__(TimmViT)
    Backbone.__init__(backbone, vit, (0.1, 0.2, 0.3), (0.2, 0.3, 0.4))
    own = Student(backbone, MLPHead, TEACHERS).eval()
    write_timm(tmp_path, own, described(own))
    loaded = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert loaded.pretrained_cfg["architecture"] == model
    assert_same_tokens(loaded, own, side)
    assert_same_tokens(loaded, own, 2 * side)


def test_a_folder_of_timm_is_not_taken_for_a_student(tmp_path):
    folder, _ = exported(tmp_path, Format.TIMM)
    with pytest.raises(ValueError, match=r"holds a model of timm: timm\.create_model"):
        load_student(folder)


def test_what_timm_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    options = {"class_tokens": "per_teacher"}
    make_run(tmp_path / "run", student(**options), CONFIG | {"student": CONFIG["student"] | options})
    with pytest.raises(
        ValueError, match=r"one class token and this student has 2 \(student\.class_tokens=per_teacher\)"
    ):
        export_run(tmp_path / "run", tmp_path / "out", formats=[Format.SAFETENSORS, Format.TIMM])
    assert not (tmp_path / "out").exists()


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


def answers_of(file, pixels):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": pixels.numpy()}), strict=True))


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [{}, {"class_tokens": "per_teacher", "spectral": True}, {"cpe_max_size": 32}],
    ids=["plain", "per_teacher", "cropped"],
)
def test_onnxruntime_answers_as_torch_at_any_batch_and_size(tmp_path, options):
    folder, own = exported(tmp_path, Format.ONNX, options=options)
    for batch, side in ((1, 16), (3, 24), (2, 32)):
        pixels = torch.rand(batch, 3, side, side)
        found = answers_of(folder / "student.onnx", pixels)
        tokens, predictions = own(pixels, side)
        expected = {"summary": tokens.summary, "spatial": tokens.spatial}
        for name, (summary, spatial) in TEACHERS.items():
            expected |= {f"{name}_summary": predictions[name].summary} if summary else {}
            expected |= {f"{name}_spatial": predictions[name].spatial} if spatial else {}
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert np.abs(found[name] - value.numpy()).max() < 1e-4 * max(1, float(value.abs().max()))
    assert answers_of(folder / "student.onnx", torch.rand(1, 3, 16, 24))["spatial"].shape == (1, 2, 3, 24)


@torch.no_grad()
def test_a_head_that_reads_every_block_is_written_too(tmp_path):
    torch.manual_seed(0)
    own = Student(ViT(**SIZES), LadderHead, TEACHERS).eval()
    write_onnx(tmp_path, own, described(own))
    pixels = torch.rand(2, 3, 24, 24)
    answers = answers_of(tmp_path / "student.onnx", pixels)
    assert_close(torch.from_numpy(answers["sam_spatial"]), own(pixels, 24)[1]["sam"].spatial, atol=1e-4, rtol=1e-4)


class OwnPositions(nn.Module):
    """Positions of a kind that no graph samples."""

    def __init__(self, width):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(width))

    def forward(self, grid, batch):
        return self.embedding.expand(1, *grid, -1)


def test_a_student_with_positions_of_its_own_is_written_for_its_one_size_and_says_so(tmp_path, caplog):
    torch.manual_seed(0)
    own = Student(ViT(**SIZES), MLPHead, TEACHERS).eval()
    own.backbone.positions = OwnPositions(24)
    write_onnx(tmp_path, own, described(own))
    assert "takes images of 16 x 16 pixels alone" in caplog.text
    pixels = torch.rand(5, 3, 16, 16)
    with torch.no_grad():
        wanted = own(pixels)[0].spatial
    assert_close(torch.from_numpy(answers_of(tmp_path / "student.onnx", pixels)["spatial"]), wanted, atol=1e-4, rtol=0)


def test_what_onnxruntime_computes_otherwise_is_refused(tmp_path, monkeypatch):
    own = Student(ViT(**SIZES), MLPHead, TEACHERS).eval()
    nn.init.normal_(own.backbone.positions.embedding)
    monkeypatch.setattr("phis_lab.students.export.sampled_positions.CUBIC", -0.75)
    with pytest.raises(ValueError, match=r"onnxruntime .* computes another summary than torch of images of 8 x 24"):
        write_onnx(tmp_path, own, described(own))


@torch.no_grad()
@pytest.mark.parametrize("formats", [[Format.HUB], [Format.TIMM], [Format.ONNX]], ids=str)
def test_standardised_tokens_have_variance_one_in_every_format(tmp_path, formats):
    folder, own = exported(tmp_path, *formats, config=CONFIG | DATA, standardize_images=300)
    data = DataModule(build(DATA["data"], "data"), build(DATA["augmentation"], "augmentation"), steps=1)
    pixels = torch.cat([batch for batch, _ in data.eval_loader("train", 300, labelled=False)])
    tokens, _ = own(pixels)
    for rows in (tokens.summary, tokens.spatial.flatten(0, 2)):
        assert_close(rows.var(dim=0), torch.ones(24), atol=1e-3, rtol=0)
        assert_close(rows.mean(dim=0), torch.zeros(24), atol=1e-3, rtol=0)
    assert json.loads((tmp_path / "own" / "student.json").read_text())["standardize"]["images"] == 300
    if formats == [Format.HUB]:
        assert_close(load_student(folder)(pixels[:3])[0], own(pixels[:3])[0])
        assert "PHI-S" in (folder / "README.md").read_text()
    elif formats == [Format.ONNX]:
        found = answers_of(folder / "student.onnx", pixels[:3])
        expected = own(pixels[:3])[0]
        assert_close(torch.from_numpy(found["spatial"]), expected.spatial, atol=1e-4, rtol=1e-4)
        assert_close(torch.from_numpy(found["summary"]), expected.summary, atol=1e-4, rtol=1e-4)
    else:
        model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        assert_close(model(pixels[:3]), own(pixels[:3])[0].summary, atol=1e-4, rtol=1e-4)
        last = load_file(folder / "spatial_standardizer.safetensors")
        patches = model.forward_features(pixels[:3])[:, 1:] @ last["weight"].T + last["bias"]
        assert_close(patches, own(pixels[:3])[0].spatial.flatten(1, 2), atol=1e-4, rtol=1e-4)


def test_each_class_token_is_standardised_and_heads_answer_as_before(tmp_path):
    options = {"class_tokens": "per_teacher"}
    _, own = exported(tmp_path, Format.SAFETENSORS, options=options, config=CONFIG | DATA, standardize_images=100)
    export_run(tmp_path / "run", tmp_path / "plain")
    plain = load_student(tmp_path / "plain")
    with torch.no_grad():
        (tokens, predictions), (before, unchanged) = own(images()), plain(images())
    assert_close(predictions, unchanged)
    assert tokens.summary.shape == before.summary.shape == (3, 48)
    assert not torch.allclose(tokens.summary, before.summary, atol=0.1)


def test_images_of_another_run_are_not_used_to_standardise(tmp_path):
    make_run(tmp_path / "run", config=CONFIG | DATA)
    other = read_record(tmp_path / "run" / "result.json").model_copy(
        update={"sources": {"the training images": Source(sha256="other")}}
    )
    write_record(tmp_path / "run", other)
    done = invoke(tmp_path / "run", tmp_path / "out", "--standardize")
    assert done.exit_code == 1
    assert "are not those that" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


@torch.no_grad()
def test_a_student_takes_the_place_of_a_clip_models_image_tower(tmp_path):
    torch.manual_seed(0)
    text = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
    vision = {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 1}
    clip = open_clip.CLIP(embed_dim=10, vision_cfg=vision, text_cfg=text).eval()
    _, own = exported(tmp_path, Format.HUB)
    encoder = ImageEncoder(own, "clip")
    embedding = encoder.encode_image(images())
    assert embedding.shape == clip.encode_image(images()).shape == (3, 10)
    assert_close(embedding, own(images())[1]["clip"].summary)
    clip.visual = encoder
    assert_close(clip.encode_image(images(), normalize=True), nn.functional.normalize(embedding, dim=-1))
    assert_close(encoder.encode_image(images(), normalize=True).norm(dim=1), torch.ones(3))
    logits = clip.encode_image(images(), normalize=True) @ clip.encode_text(torch.ones(2, 8, dtype=torch.long)).T
    assert logits.shape == (3, 2)
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**encoder.preprocess_cfg), is_train=False
    )
    shown = transform(Image.new("RGB", (40, 20), (255, 0, 0)))
    assert_close(shown, torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 16, 16))
    with pytest.raises(ValueError, match=r"predicts no summary of teacher 'sam'; it does of: clip, embedder"):
        ImageEncoder(own, "sam")


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


def test_several_formats_get_a_folder_each(tmp_path):
    make_run(tmp_path / "run")
    done = invoke(tmp_path / "run", tmp_path / "out", "--to", "timm", "--to", "hub,timm")
    assert done.exit_code == 0, done.output
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == ["hub", "timm"]
    again = invoke(tmp_path / "run", tmp_path / "out", "--to", "timm,hub")
    assert again.exit_code == 1
    assert "is not empty" in again.stderr
    assert invoke(tmp_path / "run", tmp_path / "out", "--to", "timm,hub", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["out", "--to", "onxx"], 2, "did you mean onnx?"),
        (["out", "--to", "timm,,hub"], 2, "there is no format ''"),
        (["out", "--out", "other"], 1, "both name the folder to write"),
        ([], 1, "phis-lab export RUN FOLDER"),
        (["out", "--standardize-images", "5"], 1, "counts for --standardize alone"),
        (["run/config.yaml", "--to", "hub"], 1, "is a file; give a folder"),
        (["run/config.yaml", "--to", "hub,timm"], 1, "is a file; give a folder"),
        (["run", "--to", "onnx"], 1, "is not empty"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, monkeypatch, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run")
    done = invoke("run", *arguments)
    assert done.exit_code == code
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_an_unfinished_run_is_refused_in_every_format(tmp_path):
    make_run(tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    for kind in Format:
        done = invoke(tmp_path / "run", tmp_path / "out", "--to", kind)
        assert done.exit_code == 1
        assert "the run has not ended" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_formats_are_read_in_their_order_and_once():
    assert formats_of(["onnx, timm", "onnx"]) == [Format.ONNX, Format.TIMM]
