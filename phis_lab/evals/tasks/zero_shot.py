"""Zero-shot classification: a student's summary head in the space of a CLIP-family teacher's texts."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import open_clip
import torch
from open_clip.model import _build_text_tower
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import normalize

from phis_lab.bounds import Positive
from phis_lab.evals.answers import same_share
from phis_lab.evals.score import Score, accuracy_score
from phis_lab.evals.subject import Subject, Task
from phis_lab.features import Features
from phis_lab.seeds import fixed_seed
from phis_lab.shapes import Float, Int64
from phis_lab.teachers.fitting import fit
from phis_lab.teachers.open_clip import OpenClipTeacher, has_quick_gelu, hub_file, pretrained_config
from phis_lab.teachers.outline import whole
from phis_lab.teachers.weights import HUB, find_weights

_log = logging.getLogger(__name__)


class TextTower(nn.Module):
    """Texts to the space of an open_clip model's image embeddings.

    Args:
        name: of the teacher that it belongs to, for messages.
        model: open_clip's name, such as "ViT-H-14-378-quickgelu".
        pretrained: open_clip's tag, which decides what "hub" means.
        weights: "hub", "hub:owner/repo", a file of the whole model, a folder, or None for random initialisation.
        architecture: arguments that change the text tower (`{embed_dim: 32, width: 32, layers: 1, heads: 2}`), for
            small random copies.
        weights_key: which network of a file that holds several, as the teacher's.

    Attributes:
        logit_scale: logarithm of what cosines are multiplied by.
        logit_bias: what is added to them, 0 where the model has none.

    Raises:
        ValueError: the model takes its text tower from another library, or the file does not hold it.
    """

    logit_bias: Tensor

    def __init__(
        self,
        name: str,
        model: str,
        pretrained: str,
        weights: str | None = HUB,
        architecture: dict[str, int] | None = None,
        weights_key: str | None = None,
    ) -> None:
        super().__init__()
        pretrained_config(model, pretrained)
        config = open_clip.get_model_config(model)
        options = {"embed_dim": config["embed_dim"], **config["text_cfg"], **(architecture or {})}
        if options.get("hf_model_name"):
            raise ValueError(f"{model} takes its text tower from transformers; zero-shot needs one of open_clip's own")
        found = find_weights(name, weights, hub_file(model, pretrained, weights))
        with fixed_seed():
            self.network: Any = _build_text_tower(options.pop("embed_dim"), options, has_quick_gelu(model, pretrained))
        scale = config.get("init_logit_scale", torch.tensor(1 / 0.07).log())
        self.logit_scale = nn.Parameter(torch.as_tensor(scale, dtype=torch.float32))
        self.register_buffer("logit_bias", torch.tensor(float(config.get("init_logit_bias") or 0.0)))
        if found:
            self._load(found[0], weights_key)
        self.requires_grad_(False).eval()

    def _load(self, file: Path, key: str | None) -> None:
        found = fit(file, "this text tower", self.network, whole(self.network), lambda state, _: state, key)
        scale, bias = found.beside("logit_scale"), found.beside("logit_bias")
        if scale is None:
            raise ValueError(f"{file} does not hold this text tower: logit_scale is missing")
        found.load(self.network)
        self.logit_scale.data.copy_(scale.squeeze())
        if bias is not None:
            self.logit_bias.copy_(bias.squeeze())

    def encode_text(self, text: Int64[Tensor, "n context"], normalize: bool = False) -> Float[Tensor, "n dim"]:
        """Embeds tokenised texts, with length 1 if `normalize`; open_clip calls it by this name."""
        features: Tensor = self.network(text)
        return functional.normalize(features, dim=-1) if normalize else features


class TextClassifier(NamedTuple):
    """A linear classifier that texts make: logits = scale * cosine + bias.

    Attributes:
        weight: unit vector of each class in its columns.
        scale: the model's temperature, inverse.
        bias: of every class, for models with a sigmoid loss; else 0.
    """

    weight: Float[Tensor, "dim classes"]
    scale: Float[Tensor, ""]
    bias: Float[Tensor, ""]

    def logits(self, images: Float[Tensor, "n dim"]) -> Float[Tensor, "n classes"]:
        """Of image embeddings of any length.

        Raises:
            ValueError: they have another width than the texts.
        """
        if images.shape[1] != len(self.weight):
            raise ValueError(
                f"the texts have {len(self.weight)} channels and the image embeddings {images.shape[1]}; "
                "zero-shot needs the text tower of the very teacher whose summary is predicted"
            )
        return self.scale * normalize(images.to(self.weight), dim=-1) @ self.weight + self.bias


def text_classifier(
    tower: TextTower, tokenizer: open_clip.tokenizer.SimpleTokenizer, classes: Sequence[str]
) -> TextClassifier:
    """The mean over OpenAI's 80 templates of each class's unit embeddings, of unit length again (CLIP, 3.1.4)."""
    weight = open_clip.build_zero_shot_classifier(
        tower, tokenizer, list(classes), open_clip.OPENAI_IMAGENET_TEMPLATES, device=tower.logit_scale.device
    )
    return TextClassifier(weight, tower.logit_scale.exp(), tower.logit_bias)


class ZeroShot(Task):
    """Accuracy of the student's prediction of a teacher's summary, classified by the teacher's text tower.

    UNIC-L's zero-shot protocol (its appendix A): the one evaluation that uses a head. `agreement` is the share of
    images on which student and teacher predict the same class. It needs a teacher whose summary is the image
    embedding of an open_clip model.

    Args:
        teacher: its name in the set of teachers.
        model: open_clip's name of it.
        pretrained: open_clip's tag.
        weights: as the teacher's: "hub", "hub:owner/repo", a file of the whole model, a folder, or None for random.
        architecture: arguments that change the text tower, for small random copies.
        classes: names of the classes as they are put into the templates; None takes those of the run's images.
        images: labelled test images of the run.
        weights_key: which network of a file that holds several, as the teacher's.

    Raises:
        MissingWeightsError: the weights cannot be reached.
    """

    def __init__(
        self,
        teacher: str,
        model: str,
        pretrained: str,
        weights: str | None = HUB,
        architecture: dict[str, int] | None = None,
        classes: Annotated[Sequence[str], Field(min_length=2)] | None = None,
        images: Positive = 2000,
        weights_key: str | None = None,
    ) -> None:
        OpenClipTeacher.check(teacher, {"model": model, "pretrained": pretrained, "weights": weights})
        self.teacher, self.model, self.pretrained, self.weights = teacher, model, pretrained, weights
        self.architecture, self.classes, self.images = architecture, classes, images
        self.weights_key = weights_key
        self.tokenizer = open_clip.get_tokenizer(model)
        self._known: dict[tuple[str, ...], TextClassifier] = {}

    def check(self, teachers: Collection[str]) -> None:
        """Refuse a run without the teacher."""
        if self.teacher not in teachers:
            raise ValueError(f"zero-shot wants the teacher '{self.teacher}', and there are {', '.join(teachers)}")

    def __call__(self, subject: Subject) -> dict[str, Score]:
        """`accuracy` and `agreement` on test images.

        Raises:
            ValueError: class names are unknown or too few, or the student does not predict this teacher's summary.
        """
        classifier = self._classifier(tuple(self.classes or subject.classes), subject.device)
        rows: list[Int64[Tensor, "3 b"]] = []
        for images, labels in subject.images("test", self.images):
            if int(labels.max()) >= classifier.weight.shape[1]:
                raise ValueError(
                    f"{classifier.weight.shape[1]} class names are given and an image has label {int(labels.max())}"
                )
            student, teacher = (
                classifier.logits(self._summary(features(images))).argmax(dim=1)
                for features in (subject.predictions, subject.teachers)
            )
            rows.append(torch.stack([student, teacher, labels.to(student)]))
        student, teacher, truth = torch.cat(rows, dim=1)
        accuracy = accuracy_score(same_share(student, truth), truth)
        _log.info("zero-shot: student %.4f, %s itself %.4f", accuracy, self.teacher, same_share(teacher, truth))
        agreement = accuracy_score(same_share(student, teacher), teacher)
        return {"accuracy": accuracy, "agreement": agreement.as_detail()}

    def _classifier(self, classes: tuple[str, ...], device: torch.device) -> TextClassifier:
        if len(classes) < 2:
            raise ValueError(
                "zero-shot needs the names of two classes or more, and those of the run are unknown; set classes"
            )
        if classes not in self._known:
            source = self.model, self.pretrained, self.weights, self.architecture, self.weights_key
            tower = TextTower(self.teacher, *source).to(device)
            self._known[classes] = text_classifier(tower, self.tokenizer, classes)
        return self._known[classes]

    def _summary(self, features: dict[str, Features]) -> Tensor:
        found = features.get(self.teacher)
        if found is None or found.summary is None:
            with_summary = sorted(name for name, one in features.items() if one.summary is not None)
            raise ValueError(f"there is no summary of {self.teacher!r}; there are those of {with_summary}")
        return found.summary
