"""What every teacher is: a frozen network behind one protocol."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from phis_lab.features import Features
from phis_lab.guards import PartError, TeacherError, check_tensor, working
from phis_lab.shapes import Float
from phis_lab.teachers.pixels import Pixels, check_images
from phis_lab.teachers.weights import Weights

logger = logging.getLogger(__name__)


class Teacher(nn.Module, ABC):
    """A frozen network; a subclass loads it and says in `features` which of its tensors are the features.

    Evaluation mode is permanent and no parameter asks for a gradient, so a training loop cannot change a
    teacher by accident.

    Args:
        name: key of the teacher in its set.
        network: the loaded network.
        pixels: its input protocol.
        weights: where its parameters come from, with their fingerprint.
        layer: which tensor of the network is the spatial feature, for the record.
        spatial_dim: channels of the spatial features, None where there are none.
        summary_dim: width of the summary, None where there is none.
    """

    bfloat16_is_faithful: bool = True
    """Whether bfloat16 features keep a cosine above 0.99 with float32; precision "auto" avoids it if not."""
    computes_in: Literal["float32"] | None = None
    """The one precision that the network knows, whatever the pool asks for; None if it follows the pool."""
    network: Any

    def __init__(
        self,
        *,
        name: str,
        network: nn.Module,
        pixels: Pixels,
        weights: Weights,
        layer: str,
        spatial_dim: int | None,
        summary_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.network = network
        self.pixels = pixels
        self.weights = weights
        self.layer = layer
        self.spatial_dim = spatial_dim
        self.summary_dim = summary_dim
        self.requires_grad_(False).eval()
        logger.info(
            "teacher %s: %s, sha256 %s, %s at %d px, spatial %s, summary %s",
            *(name, weights.source, weights.sha256[:12], layer, pixels.image_size, spatial_dim, summary_dim),
        )

    @classmethod
    def check(cls, name: str, option: Mapping[str, Any]) -> None:
        """Raises MissingWeightsError if a file that the arguments in `option` ask for cannot be reached.

        Called for a whole set before anything is loaded, so it must be quick; `name` is for the message.
        """

    @classmethod
    def stride(cls, option: Mapping[str, Any]) -> int | None:
        """Pixels from one cell of the spatial features to the next, for the arguments in `option`; None if unknown.

        Called before anything is loaded. Side of the grid = image size / stride.
        """
        return None

    @classmethod
    def size_step(cls, option: Mapping[str, Any]) -> int | None:
        """Image sizes are multiples of this many pixels, and at least it; None if unknown."""
        return cls.stride(option)

    @classmethod
    def licence(cls, option: Mapping[str, Any]) -> str | None:
        """The licence of the weights that the arguments in `option` ask for; None if it is not known here."""
        return None

    @classmethod
    def usual_size(cls, option: Mapping[str, Any]) -> int:
        """The `image_size` of a teacher whose option says null, from what its file tells.

        Raises:
            ValueError: this kind has none.
        """
        raise ValueError(f"image_size is needed: {cls.__name__} has none of its own")

    @property
    def image_size(self) -> int:
        """Side in pixels of the square that the network sees."""
        return self.pixels.image_size

    @abstractmethod
    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the network on resized and normalised images; spatial features come channels last."""

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Features:
        """Returns float32 features of images in [0, 1] of any size.

        Raises:
            ValueError: if `images` is not `[b, 3, h, w]` in [0, 1].
        """
        check_images(images)
        return self.run(images).float()

    @torch.no_grad()
    def run(self, images: Float[Tensor, "b 3 h w"], compute: Callable[[Tensor], Features] | None = None) -> Features:
        """Returns features in the precision of the network; the images are known to lie in [0, 1].

        `forward` checks that, and a check makes a GPU wait.

        Args:
            images: of any size.
            compute: what is called in the place of `features`, such as a compiled version of it.

        Raises:
            OutOfMemoryError: `features` did; fewer images may do.
            TeacherError: `features` raised another error, or gave something else than the teacher announced.
        """
        what = f"teacher '{self.name}'"
        try:
            with working(what, self, OSError, torch.OutOfMemoryError):
                features = (compute or self.features)(self.pixels(images))
            self._check(what, features, len(images))
        except PartError as error:
            raise TeacherError(*error.args) from error.__cause__
        if features.spatial is None:
            return features
        return Features(features.summary, self.pixels.occupied(features.spatial, images))

    def _check(self, what: str, features: Features, count: int) -> None:
        if not isinstance(features, Features):
            raise PartError(f"{what} gives a {type(features).__name__}, and Features(summary, spatial) are wanted")
        summary, spatial = features
        if summary is not None or self.summary_dim is not None:
            check_tensor(f"{what}, summary,", self, summary, (count, self.summary_dim))
        if spatial is not None or self.spatial_dim is not None:
            check_tensor(f"{what}, spatial features,", self, spatial, (count, None, None, self.spatial_dim))

    def train(self, mode: bool = True) -> "Teacher":
        """Stays in evaluation mode whatever `mode` says."""
        return super().train(False)


def image_by_image(head: Callable[[Tensor], Tensor], tokens: Float[Tensor, "b *rest"]) -> Float[Tensor, "b d"]:
    """Applies a pooling head; on a CPU to one image at a time.

    Attention pooling multiplies one query by a matrix, and on a CPU the last bit of such a product depends on where
    in memory it lies, hence on the image's place in the batch.
    """
    if tokens.device.type != "cpu":
        return head(tokens)
    return torch.cat([head(one) for one in tokens.split(1)])


def scaled(factor: float) -> str:
    """What the name of a layer ends with where its features are multiplied by a constant."""
    return "" if factor == 1 else f" * {factor:g}"


def of_key(weights_key: str | None) -> str:
    """What the name of a layer ends with where one of several networks in a file was asked for."""
    return "" if weights_key is None else f" of {weights_key}"
