"""What holds of an exported student in every format: standardised tokens, CLIP's place, names, refusals."""

import json

import open_clip
import pytest
import timm
import torch
from exported_runs import CONFIG, images, make_run
from exports import DATA, answers_of, exported, invoke
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

from phis_lab import ImageEncoder, load_student
from phis_lab.commands.export import export_run
from phis_lab.config.build import build
from phis_lab.data import DataModule
from phis_lab.formats import Format, formats_of
from phis_lab.runs import read_record, write_record
from phis_lab.runs.record import Source


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
