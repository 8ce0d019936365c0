"""Zero-shot classification against open_clip's own models, small and random."""

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from phis_lab.evals.subject import Subject
from phis_lab.evals.tasks.zero_shot import TextClassifier, TextTower, ZeroShot, text_classifier
from phis_lab.features import Features
from phis_lab.teachers.open_clip import OpenClipTeacher
from phis_lab.teachers.weights import MissingWeightsError

MODEL, TAG = "ViT-H-14-378-quickgelu", "dfn5b"
VISION = {"width": 64, "layers": 2, "head_width": 16}
TEXT = {"width": 32, "heads": 2, "layers": 2}
CLASSES = ("cat", "dog", "T-shirt/top")


@pytest.fixture(scope="module")
def whole():
    """A whole CLIP: open_clip's configuration of the model, small."""
    torch.manual_seed(1)
    config = open_clip.get_model_config(MODEL)
    vision = {**config["vision_cfg"], **VISION, "image_size": 28}
    model = open_clip.CLIP(32, vision, {**config["text_cfg"], **TEXT}, quick_gelu=True)
    torch.nn.init.constant_(model.logit_scale, 3.2)
    return model.eval()


@pytest.fixture(scope="module")
def file(whole, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "whole.safetensors"
    save_file(whole.state_dict(), path)
    return str(path)


@pytest.fixture(scope="module")
def teacher(file):
    return OpenClipTeacher(
        "clip", model=MODEL, pretrained=TAG, image_size=28, weights=file, architecture={"embed_dim": 32, **VISION}
    )


@pytest.fixture(scope="module")
def images():
    return torch.rand(9, 3, 28, 28, generator=torch.Generator().manual_seed(0))


def task(file: str | None, **options) -> ZeroShot:
    return ZeroShot("clip", MODEL, TAG, weights=file, architecture={"embed_dim": 32, **TEXT}, **options)


def subject(images, labels, student, teacher, classes=CLASSES) -> Subject:
    return Subject(
        tokens=lambda x: Features(x.mean((2, 3)), None),
        predictions=lambda x: {"clip": student(x)},
        teachers=lambda x: {"clip": teacher(x)},
        images=lambda _, count: zip(images[:count].split(4), labels[:count].split(4), strict=True),
        image_size=28,
        device=torch.device("cpu"),
        classes=classes,
    )


@torch.no_grad()
def own_logits(whole, teacher, images) -> torch.Tensor:
    """What open_clip's whole model says of the images, with its own zero-shot classifier."""
    weight = open_clip.build_zero_shot_classifier(
        whole, open_clip.get_tokenizer(MODEL), CLASSES, open_clip.OPENAI_IMAGENET_TEMPLATES
    )
    return whole.logit_scale.exp() * whole.encode_image(teacher.pixels(images), normalize=True) @ weight


def test_a_student_that_is_the_teacher_has_open_clip_s_own_logits(whole, file, teacher, images):
    tower = TextTower("clip", MODEL, TAG, file, {"embed_dim": 32, **TEXT})
    classifier = text_classifier(tower, open_clip.get_tokenizer(MODEL), CLASSES)
    torch.testing.assert_close(
        classifier.logits(teacher(images).summary), own_logits(whole, teacher, images), rtol=1e-6, atol=1e-6
    )


def test_the_text_tower_is_the_whole_model_s(whole, file):
    texts = open_clip.get_tokenizer(MODEL)(["a photo of a cat", "tench"])
    tower = TextTower("clip", MODEL, TAG, file, {"embed_dim": 32, **TEXT})
    with torch.no_grad():
        for unit in (False, True):
            ours, theirs = (model.encode_text(texts, normalize=unit) for model in (tower, whole))
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_a_sigmoid_model_s_text_tower_scale_and_bias_are_read_from_its_file(tmp_path):
    torch.manual_seed(2)
    name, tag = "ViT-SO400M-14-SigLIP-384", "webli"
    config = open_clip.get_model_config(name)
    text = {"width": 48, "heads": 3, "layers": 1, "vocab_size": 60, "context_length": 9}
    vision = {"width": 32, "layers": 1, "head_width": 16, "patch_size": 14, "image_size": 28}
    own = {key: value for key, value in config["text_cfg"].items() if not key.startswith(("hf_", "tokenizer"))}
    model = open_clip.CustomTextCLIP(48, vision, {**own, **text}, init_logit_scale=2.0, init_logit_bias=-7.0).eval()
    save_file(model.state_dict(), tmp_path / "whole.safetensors")
    tower = TextTower("siglip", name, tag, str(tmp_path), {"embed_dim": 48, **text})
    tokens = torch.randint(1, 60, (3, 9))
    with torch.no_grad():
        image = torch.randn(2, 48)
        theirs = model.logit_scale.exp() * torch.nn.functional.normalize(image, dim=-1)
        theirs = theirs @ model.encode_text(tokens, normalize=True).T + model.logit_bias
        weight = tower.encode_text(tokens, normalize=True).T
    ours = TextClassifier(weight, tower.logit_scale.exp(), tower.logit_bias).logits(image)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_accuracy_and_agreement_are_shares_of_images(whole, file, teacher, images):
    predicted = own_logits(whole, teacher, images).argmax(1)
    labels = predicted.clone()
    labels[:3] = (labels[:3] + 1) % 3
    scores = task(file)(subject(images, labels, teacher, teacher))
    assert scores == {"accuracy": pytest.approx(6 / 9), "agreement": 1.0}
    bad = subject(images, labels, lambda x: Features(-teacher(x).summary, None), teacher)
    weight = task(file)._classifier(CLASSES, torch.device("cpu"))
    opposite = weight.logits(-teacher(images).summary).argmax(1)
    assert task(file)(bad) == {
        "accuracy": pytest.approx(float((opposite == labels).float().mean())),
        "agreement": pytest.approx(float((opposite == predicted).float().mean())),
    }


def test_the_number_of_images_is_an_option_and_given_names_come_before_the_run_s(file, teacher, images):
    labels = torch.zeros(9, dtype=torch.int64)
    student = subject(images, labels, teacher, teacher)
    named = task(file, classes=["a", "b"], images=4)
    named(student)
    assert list(named._known) == [("a", "b")]


def test_random_weights_are_those_of_a_fixed_seed():
    towers = [TextTower("clip", MODEL, TAG, None, {"embed_dim": 32, **TEXT}) for _ in range(2)]
    assert torch.equal(*(tower.network.text_projection for tower in towers))
    assert float(towers[0].logit_scale.exp()) == pytest.approx(1 / 0.07)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ()}, "names of two classes or more"),
        ({"classes": ("a", "b")}, "2 class names are given and an image has label 2"),
        ({"predictions": lambda _: {}}, r"there is no summary of 'clip'; there are those of \[\]"),
        ({"predictions": lambda x: {"clip": Features(x.mean((2, 3)), None)}}, "32 channels and the image embeddings 3"),
    ],
)
def test_what_cannot_be_classified_is_refused(change, message, file, teacher, images):
    labels = torch.arange(9) % 3
    student = Subject(**(vars(subject(images, labels, teacher, teacher)) | change))
    with pytest.raises(ValueError, match=message):
        task(file)(student)


def test_missing_weights_and_files_of_other_models_are_refused(tmp_path):
    with pytest.raises(MissingWeightsError, match="there is no file or folder"):
        task(str(tmp_path / "nowhere.safetensors"))
    save_file({"visual.x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="does not hold this text tower"):
        TextTower("clip", MODEL, TAG, str(tmp_path / "other.safetensors"), {"embed_dim": 32, **TEXT})
