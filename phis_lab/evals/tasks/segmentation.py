"""Linear segmentation of frozen patch tokens."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchvision import tv_tensors

from phis_lab.bounds import Above, AtLeastZero, Positive, Seed
from phis_lab.data.decoding import CorruptImageError
from phis_lab.data.left_out import CorruptCounter
from phis_lab.data.masks import IGNORED, Masked, MaskedData, MaskedImages
from phis_lab.data.transforms import Interpolation, central_view
from phis_lab.evals.score import Score
from phis_lab.evals.subject import Subject, Task
from phis_lab.shapes import Float, Int64

_START_STD = 0.01


class SegmentationHead(nn.Module):
    """Patch tokens to logits per pixel: batch norm, one linear layer, bilinear upsampling.

    Args:
        dim: channels of the tokens.
        classes: number of classes.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim)
        self.linear = nn.Linear(dim, classes)

    def forward(self, tokens: Float[Tensor, "b h w c"], size: Sequence[int]) -> Float[Tensor, "b classes height width"]:
        """Returns the logits of every pixel of images of `size` (height, width)."""
        grid = tokens.shape[:3]
        logits: Tensor = self.linear(self.norm(tokens.flatten(0, 2))).unflatten(0, grid)
        return interpolate(logits.permute(0, 3, 1, 2), tuple(size), mode="bilinear", align_corners=False)


def make_head(dim: int, classes: int, seed: int) -> SegmentationHead:
    """A head with weights from N(0, 0.01^2) and biases 0, drawn from a generator of its own."""
    with torch.random.fork_rng(devices=[]):
        head = SegmentationHead(dim, classes)
    with torch.no_grad():
        head.linear.weight.normal_(0, _START_STD, generator=torch.Generator().manual_seed(seed))
        head.linear.bias.zero_()
    return head


_log = logging.getLogger(__name__)


_WARM_UP = 0.0375


class SegmentationScores(NamedTuple):
    """What a head scores on all pixels together that are not ignored.

    Attributes:
        miou: mean over the classes of intersection / union, both counted over all images; classes that are neither
            there nor predicted are left out.
        pixel_accuracy: share of the pixels whose class is predicted.
    """

    miou: float
    pixel_accuracy: float


@torch.inference_mode(False)
def fit_linear_segmentation(
    tokens: Float[Tensor, "n h w c"],
    labels: Tensor,
    classes: int,
    *,
    epochs: int = 20,
    batch_size: int = 16,
    rate: float = 1e-3,
    weight_decay: float = 1e-4,
    seed: Seed = 0,
    device: torch.device | None = None,
) -> SegmentationHead:
    """Trains batch norm and a linear layer on patch tokens; the bilinearly upsampled logits are the pixels'.

    The linear protocol of DINOv2 (arXiv 2304.07193, 7.4): the head, cross entropy per pixel, and AdamW with a linear
    warm-up over the first 3.75 % of the steps and a linear fall to 0. It takes 40,000 steps of 16 images on random
    crops; here tokens are frozen and given, so images are not augmented, and the length is in epochs: 20 of 16 images
    are what TinTeM's probe on VOC takes.

    Args:
        tokens: frozen, on any device; a batch at a time is moved to `device`.
        labels: class of each pixel, [n, height, width] of any integer dtype; `IGNORED` (255) is not trained on.
        classes: their number.
        epochs: passes over the images.
        batch_size: images of a step; those left over at the end of a pass are skipped, and come in other passes.
        rate: highest learning rate.
        weight_decay: of AdamW.
        seed: of the starting weights and the shuffling.
        device: where the head is trained; None is where the tokens are.

    Raises:
        ValueError: sizes that do not agree, NaN in the tokens, a label that is no class, or ignored pixels alone.
    """
    _check(tokens, labels, classes)
    device = device or tokens.device
    head = make_head(tokens.shape[-1], classes, seed).to(device).train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=weight_decay)
    batch = min(batch_size, len(tokens))
    steps = epochs * (len(tokens) // batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / max(1, _WARM_UP * steps), 1.0) * (1 - step / steps)
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        for _ in range(epochs):
            for rows in torch.randperm(len(tokens), generator=generator)[: len(tokens) // batch * batch].split(batch):
                truth = labels[rows.to(labels.device)].to(device).long()
                logits = head(tokens[rows.to(tokens.device)].to(device).float(), truth.shape[1:])
                counted = (truth != IGNORED).sum().clamp_min(1)
                loss = cross_entropy(logits, truth, ignore_index=IGNORED, reduction="sum") / counted
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return head.eval()


@torch.no_grad()
def score_segmentation(
    head: SegmentationHead, batches: Iterable[tuple[Float[Tensor, "b h w c"], Tensor]], device: torch.device
) -> SegmentationScores:
    """Scores a head on batches of tokens and of labels [b, height, width], 255 not counted."""
    classes = head.linear.out_features
    miou = MulticlassJaccardIndex(classes, average="macro", ignore_index=IGNORED, sync_on_compute=False).to(device)
    accuracy = MulticlassAccuracy(classes, average="micro", ignore_index=IGNORED, sync_on_compute=False).to(device)
    for tokens, labels in batches:
        truth = labels.to(device).long()
        predicted = head(tokens.to(device).float(), truth.shape[1:]).argmax(dim=1)
        miou.update(predicted, truth)
        accuracy.update(predicted, truth)
    return SegmentationScores(float(miou.compute()), float(accuracy.compute()))


def constant_segmentation(pixels: Int64[Tensor, " classes"]) -> SegmentationScores:
    """What the most frequent class scores as the answer to every pixel: background alone, on most data.

    Its IoU is its share of the pixels, and that of every other class that is there is 0.

    Args:
        pixels: how many there are of each class.
    """
    share = int(pixels.max()) / int(pixels.sum())
    return SegmentationScores(share / int((pixels > 0).sum()), share)


class Segmentation(Task):
    """Linear segmentation probe on frozen patch tokens (see `fit_linear_segmentation` for the protocol).

    Images and masks are central views of the size that the student was trained at (see `central_view`), and scores are
    over their pixels. The training tokens stay in the memory of the host:
    images x tokens x channels x 4 bytes.

    Args:
        data: images with masks.
        train_images: at most so many, spread evenly over the data; None takes all.
        test_images: the same for the test images.
        epochs: passes over the training images.
        batch_size: of a step, and of the student's forward passes.
        rate: highest learning rate.
        weight_decay: of AdamW.
        seed: of the head.
        interpolation: filter of the central views.
    """

    needs_labels = False

    def __init__(
        self,
        data: MaskedData,
        train_images: Positive | None = None,
        test_images: Positive | None = None,
        epochs: Positive = 20,
        batch_size: Positive = 16,
        rate: Above = 1e-3,
        weight_decay: AtLeastZero = 1e-4,
        seed: Seed = 0,
        interpolation: Interpolation = "bicubic",
    ) -> None:
        self.data, self.train_images, self.test_images = data, train_images, test_images
        self.batch_size = batch_size
        self.fit = partial(
            fit_linear_segmentation,
            epochs=epochs,
            batch_size=batch_size,
            rate=rate,
            weight_decay=weight_decay,
            seed=seed,
        )
        self.interpolation: Interpolation = interpolation

    def __call__(self, subject: Subject) -> dict[str, Score]:
        """`miou` and `pixel_accuracy` on the test images."""
        train, test = self.data.train, self.data.test
        tokens, labels = map(torch.cat, zip(*self._seen(subject, train, self.train_images), strict=True))
        head = self.fit(tokens, labels, len(train.classes), device=subject.device)
        pixels = torch.zeros(len(train.classes), dtype=torch.int64)
        batches = _counted(self._seen(subject, test, self.test_images), pixels)
        scores = score_segmentation(head, batches, subject.device)
        floors = constant_segmentation(pixels)
        _log.info("segmentation of %s: mIoU %.4f with %d x %d tokens", test.name, scores.miou, *tokens.shape[1:3])
        return {
            "miou": Score(scores.miou, floors.miou),
            "pixel_accuracy": Score(scores.pixel_accuracy, floors.pixel_accuracy, detail=True),
        }

    def _seen(self, subject: Subject, data: MaskedImages, most: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Patch tokens and labels in batches, on the host, without the corrupt images."""
        view = central_view(subject.image_size, self.interpolation)
        count = min(most or len(data), len(data))
        rows = torch.linspace(0, len(data) - 1, count, dtype=torch.float64).round().long()
        corrupt = CorruptCounter(data.name, count)
        for chosen in rows.split(self.batch_size):
            shown = [
                view(tv_tensors.Image(image), tv_tensors.Mask(mask)) for image, mask in _sound(data, chosen, corrupt)
            ]
            if not shown:
                continue
            images = torch.stack([image.as_subclass(Tensor) for image, _ in shown]).to(subject.device).float() / 255
            spatial = subject.tokens(images).spatial
            if spatial is None:
                raise ValueError("segmentation needs patch tokens, and this student has none")
            yield spatial.detach().float().cpu(), torch.stack([mask.as_subclass(Tensor) for _, mask in shown])


def _sound(data: MaskedImages, rows: Int64[Tensor, " images"], corrupt: CorruptCounter) -> Iterator[Masked]:
    """Those of some images that can be read; the others are counted."""
    for row in rows.tolist():
        try:
            masked = data[row]
        except CorruptImageError as error:
            corrupt.update([error.name], 1, [error.reason])
        else:
            corrupt.update([], 1)
            yield masked


def _counted(
    batches: Iterable[tuple[Tensor, Tensor]], pixels: Int64[Tensor, " classes"]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Passes the batches on, and adds their pixels of each class to `pixels`."""
    for tokens, labels in batches:
        pixels += labels[labels != IGNORED].long().bincount(minlength=len(pixels))
        yield tokens, labels


def _check(tokens: Tensor, labels: Tensor, classes: int) -> None:
    if labels.ndim != 3 or len(labels) != len(tokens) or len(tokens) == 0:
        raise ValueError(
            f"tokens [n, h, w, c] need labels [n, height, width], got {tuple(tokens.shape)} and {tuple(labels.shape)}"
        )
    if not tokens.isfinite().all():
        raise ValueError("the patch tokens hold NaN or infinity; look at the features before they are probed")
    found = labels.unique()
    found = found[found != IGNORED]
    if not len(found):
        raise ValueError(f"every pixel of the {len(labels)} masks is ignored (255); give masks with classes")
    if int(found.min()) < 0 or int(found.max()) >= classes:
        raise ValueError(
            f"labels are 0 to {classes - 1}, or {IGNORED} for ignored pixels, "
            f"got {int(found.min())} to {int(found.max())}"
        )
