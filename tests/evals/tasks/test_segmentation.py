"""Linear segmentation against numpy and against tokens that say what they are."""

import numpy as np
import pytest
import torch

from phis_lab.data.masks import IGNORED, Masked, MaskedData, MaskedImages
from phis_lab.evals.subject import Subject
from phis_lab.evals.tasks.segmentation import Segmentation, fit_linear_segmentation, make_head, score_segmentation
from phis_lab.features import Features

CPU = torch.device("cpu")


def numpy_scores(predicted: np.ndarray, truth: np.ndarray, classes: int) -> tuple[float, float]:
    """Mean intersection over union of the classes that occur, and pixel accuracy, pixel by pixel."""
    kept = truth != IGNORED
    predicted, truth = predicted[kept], truth[kept]
    ious = [
        ((predicted == k) & (truth == k)).sum() / union
        for k in range(classes)
        if (union := ((predicted == k) | (truth == k)).sum())
    ]
    return float(np.mean(ious)), float((predicted == truth).mean())


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_numpy_s_over_all_pixels_of_all_batches(seed):
    generator = torch.Generator().manual_seed(seed)
    classes = 6
    tokens = torch.randn(7, 3, 4, 5, generator=generator)
    labels = torch.randint(0, classes - 1, (7, 12, 16), generator=generator)  # the last class never occurs
    labels[torch.rand(labels.shape, generator=generator) < 0.1] = IGNORED
    head = make_head(5, classes, seed).eval()
    with torch.no_grad():
        head.linear.bias[-1] = -100  # and is never predicted
        predicted = head(tokens, (12, 16)).argmax(1)
    scores = score_segmentation(head, zip(tokens.split(3), labels.to(torch.uint8).split(3), strict=True), CPU)
    assert scores == pytest.approx(numpy_scores(predicted.numpy(), labels.numpy(), classes), abs=1e-6)


def test_the_head_upsamples_the_logits_of_normalised_tokens_bilinearly():
    tokens = torch.randn(2, 3, 3, 4)
    head = make_head(4, 5, 0).eval()
    head.norm.running_mean.normal_()
    normalized = (tokens - head.norm.running_mean) / (head.norm.running_var + head.norm.eps).sqrt()
    logits = torch.einsum("bhwc,kc->bkhw", normalized, head.linear.weight) + head.linear.bias[:, None, None]
    expected = torch.nn.functional.interpolate(logits, (9, 6), mode="bilinear")
    torch.testing.assert_close(head(tokens, (9, 6)), expected)


def separable(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens whose channels say the class of their cell, at scales that batch norm has to even out."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(0, 3, (count, 4, 4), generator=generator)
    tokens = torch.nn.functional.one_hot(cells, 3).float() * torch.tensor([100.0, 1.0, 0.01]) + 7
    return tokens, cells.to(torch.uint8)


def test_tokens_that_say_their_class_are_segmented_without_an_error():
    tokens, labels = separable(64, 0)
    head = fit_linear_segmentation(tokens, labels, 3, rate=0.1)
    test_tokens, test_labels = separable(16, 1)
    assert score_segmentation(head, [(test_tokens, test_labels)], CPU) == (1.0, 1.0)


def test_the_head_depends_on_its_seed_alone_and_leaves_the_global_generator_alone():
    tokens, labels = separable(32, 0)
    state = torch.get_rng_state()
    with torch.inference_mode():  # as within an evaluation
        heads = [fit_linear_segmentation(tokens, labels, 3, epochs=2, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (torch.cat([p.flatten() for p in head.parameters()]) for head in heads)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_ignored_pixels_are_neither_trained_on_nor_counted():
    tokens, labels = separable(64, 0)
    labels[:, :2] = IGNORED
    head = fit_linear_segmentation(tokens, labels, 3, rate=0.1)
    test_tokens, test_labels = separable(16, 1)
    assert score_segmentation(head, [(test_tokens, test_labels)], CPU) == (1.0, 1.0)
    test_labels[:, :2] = (test_labels[:, :2] + 1) % 3
    assert score_segmentation(head, [(test_tokens, test_labels)], CPU).pixel_accuracy == 0.5
    test_labels[:, :2] = IGNORED
    assert score_segmentation(head, [(test_tokens, test_labels)], CPU) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda x, y: (x, y[:3]), r"tokens \[n, h, w, c\] need labels \[n, height, width\], got \(4, 2, 2, 3\)"),
        (lambda x, y: (x * torch.nan, y), "patch tokens hold NaN"),
        (lambda x, y: (x, y + 3), r"labels are 0 to 2, or 255 for ignored pixels, got 3 to 3"),
        (lambda x, y: (x, torch.full_like(y, IGNORED)), "every pixel of the 4 masks is ignored"),
    ],
)
def test_bad_input_is_refused(damage, message):
    with pytest.raises(ValueError, match=message):
        fit_linear_segmentation(*damage(torch.randn(4, 2, 2, 3), torch.zeros(4, 8, 8, dtype=torch.int64)), 3)


class Squares(MaskedImages):
    """Images of 32 x 64 pixels, in squares of 16 that are red or green."""

    def __init__(self, seed: int, count: int) -> None:
        super().__init__("squares", ("red", "green"))
        self.cells = torch.randint(0, 2, (count, 2, 4), generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, index: int) -> Masked:
        mask = self.cells[index].repeat_interleave(16, 0).repeat_interleave(16, 1).to(torch.uint8)
        image = torch.stack([255 * (1 - mask), 255 * mask, torch.zeros_like(mask)])
        return Masked(image, mask)


class SquareData(MaskedData):
    def read(self) -> tuple[MaskedImages, MaskedImages]:
        return Squares(0, 40), Squares(1, 10)


def colours(side: int) -> Subject:
    """A student whose tokens are the colours of 8 x 8 cells."""

    def tokens(images: torch.Tensor) -> Features:
        assert images.min() >= 0
        assert images.max() <= 1
        cells = torch.nn.functional.avg_pool2d(images, 8).permute(0, 2, 3, 1)
        return Features(cells.mean((1, 2)), cells)

    return Subject(
        tokens=tokens,
        predictions=lambda _: {},
        teachers=lambda _: {},
        images=lambda _split, _count: [],
        image_size=side,
        device=CPU,
    )


def test_a_student_that_sees_colours_segments_coloured_squares_in_the_middle_of_the_image():
    task = Segmentation(SquareData(), train_images=32, rate=0.1, epochs=30)
    scores = task(colours(32))
    assert set(scores) == {"miou", "pixel_accuracy"}
    assert min(scores.values()) > 0.95  # bilinear logits round the corners of the squares
    assert scores == task(colours(32))


def test_batches_are_central_views_spread_evenly_over_the_data():
    seen = []

    def tokens(images: torch.Tensor) -> Features:
        seen.append(images)
        return colours(16).tokens(images)

    subject = Subject(**(vars(colours(16)) | {"tokens": tokens}))
    data = SquareData()
    Segmentation(data, train_images=5, test_images=3, batch_size=4, epochs=1)(subject)
    assert [tuple(batch.shape) for batch in seen] == [(4, 3, 16, 16), (1, 3, 16, 16), (3, 3, 16, 16)]
    reds = torch.cat(seen[:2])[:, 0, ::8, ::8]
    expected = data.train.cells[[0, 10, 20, 29, 39]][:, :, 1:3] == 0
    assert torch.equal(reds > 0.5, expected)


def test_a_student_without_patch_tokens_is_refused():
    subject = Subject(**(vars(colours(16)) | {"tokens": lambda images: Features(images.mean((2, 3)), None)}))
    with pytest.raises(ValueError, match="needs patch tokens"):
        Segmentation(SquareData())(subject)
