"""`phis-lab stats` from the command line to the files that a run reads."""

import json
import os
import shutil
import subprocess
import sys
from textwrap import dedent

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from phis_lab.cli import app
from phis_lab.config.build import build
from phis_lab.config.compose import composed
from phis_lab.data import Augmentation
from phis_lab.data.digits import Digits
from phis_lab.engine.estimation.saved_moments import moments_file, provenance_of, refuse_foreign
from phis_lab.features import match_grid
from phis_lab.linalg import Moments
from phis_lab.survey import read_statistics
from phis_lab.survey import stats as module
from phis_lab.survey.passes import FirstViews
from phis_lab.teachers import TeacherPool
from phis_lab.whole_files import load_sealed

TEACHERS = ("dfn_clip", "siglip", "dinov2_g", "sam_h")
SMALL = ["teachers=tiny_set", "data=digits", "trainer.teacher_precision=float32"]
IMAGES = 24
GRID = (4, 4)


def stats(out, *arguments, images=IMAGES):
    command = ["stats", *SMALL, "--out", str(out), "--images", str(images), *arguments]
    return CliRunner().invoke(app, command, env={"COLUMNS": "100"})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "statistics"
    return out, stats(out)


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out the figures, which take most of the time, where a test looks at what is counted."""
    monkeypatch.setattr(module, "write_figure", lambda *_: [])


@pytest.fixture(scope="module")
def spatial():
    """Features of the same images by the teachers alone, on their own grids."""
    nodes = {name: node for name, node in composed(SMALL)["teachers"].items() if name in TEACHERS}
    pool = TeacherPool({name: build(node, name) for name, node in nodes.items()}, "float32")
    source = Digits(batch_size=64)
    images = torch.cat([b.images for b in FirstViews(source, Augmentation(64), IMAGES).batches()])
    return pool, {name: features.spatial for name, features in pool(images).items()}, source.train.fingerprint


def facts_of(spatial, teacher):
    pool, _, data = spatial
    found = {key: str(value) for key, value in pool.describe()[teacher].items() if key != "source"}
    return {"teacher": teacher, "data": data} | found


def test_it_writes_moments_data_tables_and_figures_and_names_them(written):
    out, result = written
    assert result.exit_code == 0, result.output
    names = {path.name for path in out.iterdir()}
    moments = {f"{t}-{128 if t == 'sam_h' else 56}px-4x4.safetensors" for t in TEACHERS}
    figures = {f"{name}.{kind}" for name in ("activations", "spectra", "norms") for kind in ("png", "svg")}
    assert names == moments | figures | {"statistics.json", "statistics.md"}
    for name in names:
        assert str(out / name) in result.output
    for words in ("PHI-S, table 6", "PHI-S, table 7", "PHI-S, table 8", "PHI-S, table 9", "Dead channels", *TEACHERS):
        assert words in result.output
    assert [path for path in out.parent.iterdir() if path != out] == []


def test_the_report_shows_every_table_and_figure(written):
    text = (written[0] / "statistics.md").read_text()
    assert text.count("### ") == 6
    for figure in ("activations", "spectra", "norms"):
        assert f"({figure}.png)" in text
    assert "paper |" not in text  # these teachers have the paper's names, not its weights


@pytest.mark.parametrize("teacher", TEACHERS)
def test_the_moments_are_those_of_the_tokens_that_a_run_compares(written, spatial, teacher):
    facts = facts_of(spatial, teacher)
    moments = Moments.load(moments_file(written[0], facts, GRID))
    tokens = match_grid(spatial[1][teacher], GRID).double().flatten(0, 2).numpy()
    assert moments.count == IMAGES * 16
    np.testing.assert_allclose(moments.mean.numpy(), tokens.mean(0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(moments.covariance.numpy(), np.cov(tokens.T), rtol=1e-8, atol=1e-12)
    refuse_foreign(moments.provenance, provenance_of(facts, GRID), teacher)


@pytest.mark.parametrize(
    ("key", "value"),
    [("sha256", "0" * 64), ("image_size", "112"), ("layer", "blocks.3"), ("precision", "bfloat16"), ("grid", "8x8")],
)
def test_moments_of_other_features_are_refused_by_name(written, spatial, key, value):
    facts = facts_of(spatial, "siglip")
    moments = Moments.load(moments_file(written[0], facts, GRID))
    with pytest.raises(ValueError, match=rf"teacher 'siglip' are of other features: {key} is .*not '{value}'"):
        refuse_foreign(moments.provenance, provenance_of(facts, GRID) | {key: value}, "siglip")


def test_moments_of_another_image_size_are_not_there_to_be_read(written, spatial):
    facts = facts_of(spatial, "siglip") | {"image_size": "112"}
    with pytest.raises(FileNotFoundError, match=r"siglip-112px-4x4\.safetensors; `phis-lab stats`"):
        Moments.load(moments_file(written[0], facts, GRID))


def test_the_data_say_what_the_tables_say(written, spatial):
    found = read_statistics(written[0]).teachers
    assert list(found) == [f"{t}-{128 if t == 'sam_h' else 56}px-4x4" for t in TEACHERS]
    for teacher, of in zip(TEACHERS, found.values(), strict=True):
        tokens = match_grid(spatial[1][teacher], GRID).double().flatten(0, 2)
        assert (of.images, of.tokens, of.grid) == (IMAGES, IMAGES * 16, "4x4")
        assert of.norms.median == pytest.approx(float(tokens.norm(dim=1).quantile(0.5)), rel=5e-3)
        assert of.scales.alpha_phis == pytest.approx(float(tokens.var(0).mean() ** -0.5))
        file = written[0] / f"{teacher}-{of.provenance['image_size']}px-4x4.safetensors"
        assert load_sealed(file)[1] == of.provenance | {"moments_format": "2"}


def contents(folder):
    """What the files say; safetensors puts metadata in any order."""
    moments = {path.name: Moments.load(path) for path in folder.glob("*.safetensors")}
    others = {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in moments}
    return others | {name: (m.provenance, m.mean.tolist(), m.covariance.tolist()) for name, m in moments.items()}


def test_a_repetition_changes_nothing(written, tmp_path):
    assert stats(tmp_path).exit_code == 0
    assert contents(tmp_path) == contents(written[0])


@pytest.mark.usefixtures("undrawn")
def test_another_image_size_joins_the_report(written, tmp_path):
    shutil.copytree(written[0], tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    result = stats(tmp_path, "teachers.siglip.image_size=112", "student.image_size=32")
    assert result.exit_code == 0, result.output
    keys = list(read_statistics(tmp_path).teachers)
    assert keys[2:4] == ["siglip-56px-4x4", "siglip-112px-2x2"]
    after = contents(tmp_path)
    assert {f"{key}.safetensors" for key in keys} <= set(after)
    assert after["siglip-56px-4x4.safetensors"] == before["siglip-56px-4x4.safetensors"]
    assert "112 | 2x2" in (tmp_path / "statistics.md").read_text()


@pytest.mark.usefixtures("undrawn")
def test_on_their_own_grids_teachers_are_counted_as_they_are(tmp_path, spatial):
    result = stats(tmp_path, "--own-grid", images=8)
    assert result.exit_code == 0, result.output
    for teacher, of in zip(TEACHERS, read_statistics(tmp_path).teachers.values(), strict=True):
        rows, columns = spatial[1][teacher].shape[1:3]
        assert of.grid == of.provenance["grid"] == f"{rows}x{columns}"
        tokens = spatial[1][teacher][:8].double().flatten(0, 2)
        assert (of.tokens, of.channels.global_mean) == (len(tokens), pytest.approx(float(tokens.mean()), abs=1e-12))


@pytest.mark.usefixtures("undrawn")
def test_stages_at_several_sizes_are_all_there(tmp_path):
    sizes = "stages={first:{partitions:{low:{scale:1.0}}},second:{partitions:{high:{scale:2.0,teachers:{siglip:2.0}}}}}"
    result = stats(tmp_path, sizes, images=8)
    assert result.exit_code == 0, result.output
    found = list(read_statistics(tmp_path).teachers)
    assert sorted(key for key in found if key.startswith("siglip")) == ["siglip-112px-8x8", "siglip-56px-4x4"]
    assert len(found) == 5


@pytest.mark.usefixtures("undrawn")
def test_fewer_tokens_than_channels_are_said_and_not_refused(tmp_path):
    result = stats(tmp_path, images=3)
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    assert "dinov2_g gave 48 tokens for 96 channels: at least 49 eigenvalues are zero" in told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tetchers=tiny_set"], "Did you mean 'teachers'?"),
        (["data.batch_sise=3"], "Did you mean 'batch_size'?"),
        (["augmentation.scale=[0,1]"], "scale is a range of area shares"),
        (["teachers.siglip.weights=/nowhere.pt"], "/nowhere.pt"),
    ],
)
def test_refusals_are_a_sentence_and_leave_nothing(tmp_path, arguments, says):
    out = tmp_path / "s"
    result = stats(out, *arguments)
    assert result.exit_code == 1
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_no_images_are_refused(tmp_path):
    assert stats(tmp_path, images=0).exit_code == 2


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "s").write_text("mine")
    result = stats(tmp_path / "s")
    assert (result.exit_code, (tmp_path / "s").read_text()) == (1, "mine")
    assert "--out names a folder" in " ".join(result.stderr.split())


@pytest.mark.parametrize("change", ["cut", "version"])
def test_data_that_cannot_be_read_are_refused_before_any_work(written, tmp_path, change):
    text = (written[0] / "statistics.json").read_text()
    damaged = text[:500] if change == "cut" else json.dumps(json.loads(text) | {"version": 2})
    (tmp_path / "statistics.json").write_text(damaged)
    result = stats(tmp_path, "teachers.siglip.weights=/nowhere.pt")
    assert result.exit_code == 1
    assert "statistics.json is damaged, or of another version" in " ".join(result.stderr.split())
    assert (tmp_path / "statistics.json").read_text() == damaged


def test_an_interrupted_pass_leaves_nothing(tmp_path, monkeypatch):
    calls = []

    def interrupted(self, images):
        calls.append(len(images))
        raise KeyboardInterrupt

    monkeypatch.setattr(TeacherPool, "forward", interrupted)
    result = stats(tmp_path / "s")
    assert (calls, result.exit_code) == ([IMAGES], 130)
    assert "nothing was written" in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_interruption_while_writing_leaves_what_was_there(written, tmp_path, monkeypatch):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "statistics.md").write_text("older")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_figure", interrupted)
    assert stats(tmp_path / "s").exit_code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["statistics.md"]
    assert (tmp_path / "s" / "statistics.md").read_text() == "older"


def test_features_that_are_not_finite_name_their_teacher(tmp_path, monkeypatch):
    real = TeacherPool.forward

    def spoilt(self, images):
        features = real(self, images)
        features["siglip"].spatial[3, 1, 1, 5] = torch.nan
        return features

    monkeypatch.setattr(TeacherPool, "forward", spoilt)
    result = stats(tmp_path / "s")
    assert result.exit_code == 1
    assert "teacher 'siglip', after 0 images" in result.stderr
    assert not list(tmp_path.iterdir())


def test_help_imports_nothing_heavy():
    code = dedent("""
        import runpy, sys
        sys.argv = ["phis-lab", "stats", "--help"]
        try:
            runpy.run_module("phis_lab", run_name="__main__")
        except SystemExit as end:
            assert not end.code
        assert not {"torch", "pandas", "matplotlib", "scipy", "hydra"} & set(sys.modules)
    """)
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "100"}
    command = [sys.executable, "-W", "error", "-c", code]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert "--own-grid" in shown
