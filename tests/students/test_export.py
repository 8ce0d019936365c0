"""Exported students equal the trained ones with their normalisers undone."""

import inspect
import json
import shutil

import pytest
import torch
import yaml
from exported_runs import CONFIG, TEACHERS, fitted, images, make_run, of_teacher, student
from safetensors.torch import load_file, save_file
from synthetic_records import record
from torch import nn
from torch.testing import assert_close
from typer.testing import CliRunner

from phis_lab import normalizers as methods
from phis_lab.cli import app
from phis_lab.commands.export import export_run
from phis_lab.config.exported import checked, load_exported
from phis_lab.normalizers import NotFittedError, PhiS, Standardize, TeacherSpace
from phis_lab.runs import write_record
from phis_lab.students import IdentityHead, MLPHead, Student, TimmViT, ViT
from phis_lab.students.fold import fold
from phis_lab.students.spectral import reparametrize

METHODS = [
    name
    for name in methods.__all__
    if issubclass(kind := getattr(methods, name), methods.Normalizer) and not inspect.isabstract(kind)
]


class BareHead(nn.Module):
    """A head without bias."""

    def __init__(self, in_dim: int, out_dim: int, *, widest: int) -> None:
        super().__init__()
        self.output = nn.Linear(in_dim, out_dim, bias=False)

    def forward(self, tokens):
        return self.output(tokens)


class UnnamedHead(nn.Sequential):
    """A head whose last layer has another name."""

    def __init__(self, in_dim: int, out_dim: int, *, widest: int) -> None:
        super().__init__(nn.Linear(in_dim, out_dim))


@torch.no_grad()
def assert_is_undone(plain, trained, spaces):
    """`plain` says in each teacher's space what `trained` says in the normalised one."""
    (tokens, predictions), (expected_tokens, normalised) = plain(images()), trained(images())
    assert_close(tokens.summary, expected_tokens.summary, atol=1e-5, rtol=1e-5)
    assert_close(tokens.spatial, expected_tokens.spatial, atol=1e-5, rtol=1e-5)
    assert set(predictions) == set(TEACHERS)
    for name, (summary, spatial) in TEACHERS.items():
        if summary is not None:
            assert_close(predictions[name].summary, normalised[name].summary, atol=1e-5, rtol=1e-5)
        if spatial is not None:
            exact = spaces[name].spatial.inverse(normalised[name].spatial)
            deviation = of_teacher(spatial).std(0).square().mean().sqrt()
            assert float((predictions[name].spatial - exact).abs().max() / deviation) < 1e-5
        assert (predictions[name].summary is None, predictions[name].spatial is None) == (
            summary is None,
            spatial is None,
        )


@pytest.fixture
def run(tmp_path):
    make_run(tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("method", METHODS)
def test_a_folded_student_predicts_in_the_teachers_space(method):
    spaces = fitted(getattr(methods, method))
    assert_is_undone(fold(student(), spaces), student(), spaces)


@torch.no_grad()
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda x: 2 * x, r"a student takes images in \[0, 1\] and normalises them itself, received values from"),
        (lambda x: torch.cat([x, x - 1]), r"a student takes images in \[0, 1\]"),
        (lambda x: x.where(x > 0.5, torch.nan), "received values from nan to nan"),
        (lambda x: (255 * x).byte(), r"floating-point images .* received torch.uint8 \[3, 3, 16, 16\]"),
        (lambda x: x[0], r"received torch.float32 \[3, 16, 16\]"),
        (lambda x: x.permute(0, 2, 3, 1), r"received torch.float32 \[3, 16, 16, 3\]"),
        (lambda x: x.numpy(), "received ndarray; see torch.from_numpy"),
    ],
)
def test_an_exported_student_refuses_the_images_that_teachers_refuse(change, problem):
    hooked = checked(fold(student(), fitted(PhiS)))
    hooked(images())
    hooked(images=images())
    with pytest.raises(ValueError, match=problem):
        hooked(change(images()))


@torch.no_grad()
def test_a_student_that_is_matched_in_its_own_space_stays_there():
    backbone = ViT(image_size=16, patch_size=8, width=6, depth=1, heads=2)
    trained = Student(backbone, IdentityHead, {"clip": (6, 6)}).eval()
    folded = fold(trained, {"clip": TeacherSpace("clip", methods.TeacherInTheMiddle(12, 6))})
    pixels = torch.rand(2, 3, 16, 16)
    assert_close(folded(pixels)[1]["clip"].spatial, trained(pixels)[1]["clip"].spatial)


def test_folding_leaves_the_student_alone_and_draws_nothing():
    trained = reparametrize(student().train())
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    state = torch.get_rng_state()
    folded = fold(trained, fitted(PhiS))
    assert torch.equal(torch.get_rng_state(), state)
    assert trained.training
    assert not folded.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.state_dict().items())


def test_spectral_parametrisations_of_heads_are_folded_too():
    spaces, trained = fitted(Standardize), student(spectral=True)
    reparametrize(trained.spatial_heads)
    folded = fold(trained, spaces)
    assert set(folded.state_dict()) == set(student().state_dict())
    assert_is_undone(folded, trained, spaces)


def test_a_head_without_output_is_refused():
    with pytest.raises(ValueError, match=r"'clip' folds into a linear layer named `output`.*UnnamedHead"):
        fold(student(UnnamedHead), fitted(PhiS))


def test_a_missing_or_unfitted_normaliser_is_refused():
    with pytest.raises(ValueError, match="teacher 'sam' has spatial features and needs a normaliser"):
        fold(student(), {"clip": fitted(PhiS)["clip"]})
    with pytest.raises(NotFittedError):
        fold(student(), {"clip": TeacherSpace("clip", PhiS(12)), "sam": TeacherSpace("sam", PhiS(20))})


def test_an_exported_run_loads_as_the_student_with_its_normalisers_undone(tmp_path):
    trained, spaces = make_run(tmp_path / "run")
    files = export_run(tmp_path / "run", tmp_path / "out")
    assert sorted(tmp_path.glob("out/*")) == sorted(files)
    loaded = load_exported(tmp_path / "out")
    assert not loaded.training
    assert_is_undone(loaded, trained, spaces)


@pytest.mark.parametrize(
    "options",
    [{"spectral": True}, {"class_tokens": "per_teacher"}, {"cpe_max_size": 32}],
    ids=lambda options: next(iter(options)),
)
def test_every_kind_of_student_is_exported(tmp_path, options):
    config = CONFIG | {"student": CONFIG["student"] | options}
    trained, spaces = make_run(tmp_path / "run", student(**options), config)
    export_run(tmp_path / "run", tmp_path / "out")
    assert_is_undone(load_exported(tmp_path / "out"), trained, spaces)


def test_a_student_of_pretrained_weights_needs_them_no_more(tmp_path):
    options = {"model": "vit_tiny_patch16_224", "image_size": 32, "spectral": True}
    node = {"_target_": "phis_lab.students.TimmViT", "pretrained": True, "weights": "/nowhere/w.safetensors", **options}
    torch.manual_seed(0)
    trained = Student(TimmViT(pretrained=False, **options), MLPHead, TEACHERS).eval()
    _, spaces = make_run(tmp_path / "run", trained, CONFIG | {"student": node})
    export_run(tmp_path / "run", tmp_path / "out")
    assert_is_undone(load_exported(tmp_path / "out"), trained, spaces)


def test_the_weights_are_plain_float32_and_the_description_names_the_run(run, tmp_path):
    export_run(run, tmp_path / "out")
    weights = load_file(tmp_path / "out" / "student.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert all(name.startswith(("backbone.", "summary_heads.", "spatial_heads.")) for name in weights)
    described = json.loads((tmp_path / "out" / "student.json").read_text())
    assert described["origin"] == {
        "study": "pocket_methods",
        "method": "phis",
        "seed": 3,
        "commit": "1234abcd",
        "config_sha256": "0" * 64,
    }
    assert described["teachers"]["sam"] == {"summary": None, "spatial": 20}
    assert described["phis_lab"]


def test_loading_draws_no_random_numbers(run, tmp_path):
    export_run(run, tmp_path / "out")
    state = torch.get_rng_state()
    load_exported(tmp_path / "out")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_head_of_another_package_without_bias_loads_once_it_is_trusted(tmp_path):
    config = CONFIG | {"head": {"_target_": f"{__name__}.BareHead", "_partial_": True}}
    trained, spaces = make_run(tmp_path / "run", student(BareHead), config)
    with pytest.raises(
        ValueError, match=rf"config\.yaml names {__name__}\.BareHead, which .* --trust {__name__} on the"
    ):
        export_run(tmp_path / "run", tmp_path / "out")
    export_run(tmp_path / "run", tmp_path / "out", trusted=[__name__])
    with pytest.raises(ValueError, match=rf"student\.json names {__name__}\.BareHead"):
        load_exported(tmp_path / "out")
    assert_is_undone(load_exported(tmp_path / "out", [__name__]), trained, spaces)


@pytest.mark.parametrize("content", ["", "a: [1,", "- a", "!!python/object:os.system x"])
def test_a_torn_configuration_of_a_finished_run_is_told_in_a_sentence(content, run, tmp_path):
    (run / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"config\.yaml is no run's configuration"):
        export_run(run, tmp_path / "out")


def test_a_folder_in_use_is_refused_and_overwritten_when_told_to(run, tmp_path):
    export_run(run, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="out is not empty"):
        export_run(run, tmp_path / "out")
    export_run(run, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    load_exported(tmp_path / "out")
    with pytest.raises(ValueError, match="is a file"):
        export_run(run, tmp_path / "out" / "notes.txt", overwrite=True)


def test_what_breaks_while_it_is_written_leaves_nothing(run, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr("phis_lab.students.export_folder.save_file", full)
    with pytest.raises(OSError, match="no space left"):
        export_run(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def remove_file(name):
    return lambda folder: (folder / name).unlink()


def fail(folder):
    write_record(folder, record(status="failed", failure="the loss is not finite"))


def forget_channels(folder):
    write_record(folder, record())


def misspell(folder):
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG | {"head": CONFIG["head"] | {"hiden": 3}}))


@pytest.mark.parametrize(
    ("damage", "kind", "says"),
    [
        (remove_file("result.json"), ValueError, "the run has not ended"),
        (remove_file("checkpoint.pt"), FileNotFoundError, "the trained student is gone"),
        (remove_file("config.yaml"), FileNotFoundError, "config.yaml is missing"),
        (fail, ValueError, "failed: the loss is not finite; there is no trained student"),
        (forget_channels, ValueError, "does not tell how many channels"),
        (misspell, ValueError, "head.hiden: no such option"),
    ],
)
def test_a_run_that_cannot_be_exported_is_refused(run, tmp_path, damage, kind, says):
    damage(run)
    with pytest.raises(kind, match=says):
        export_run(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_another_student_is_refused(run, tmp_path):
    config = CONFIG | {"student": CONFIG["student"] | {"depth": 2}}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match="does not fit this version's student"):
        export_run(run, tmp_path / "out")


def other_weights(folder):
    weights = load_file(folder / "student.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, folder / "student.safetensors")


def change(**fields):
    def damage(folder):
        path = folder / "student.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return damage


@pytest.mark.parametrize(
    ("damage", "kind", "says"),
    [
        (shutil.rmtree, FileNotFoundError, r"holds no student\.json"),
        (remove_file("student.safetensors"), FileNotFoundError, r"holds no student\.safetensors"),
        (other_weights, ValueError, "export the run again"),
        (change(format=2), ValueError, "has format 2 and this phis_lab reads 1"),
        (change(colour="red"), ValueError, "does not describe a student: colour"),
        (change(backbone=CONFIG["student"] | {"depth": 2}), ValueError, "this version builds another student"),
    ],
)
def test_a_folder_that_is_no_exported_student_is_refused(run, tmp_path, damage, kind, says):
    export_run(run, tmp_path / "out")
    damage(tmp_path / "out")
    with pytest.raises(kind, match=says):
        load_exported(tmp_path / "out")


def test_the_command_names_the_files_and_refuses_in_a_sentence(run, tmp_path):
    command = ["export", str(run), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert result.output.split() == [str(tmp_path / "out" / name) for name in ("student.safetensors", "student.json")]
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0
