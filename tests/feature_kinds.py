"""Features that are easy and hard to tell apart: training and test rows, from a source of normal numbers."""

import torch

TRAIN, TEST, DIM = 2000, 40, 24


def gaussian(draw):
    return draw(TRAIN, DIM), draw(TEST, DIM)


def large_mean(draw):
    mean = 30 * draw(1, DIM)
    return draw(TRAIN, DIM) + mean, draw(TEST, DIM) + mean


def sorted_clusters(draw):
    centres = draw(10, DIM)
    return centres.repeat_interleave(TRAIN // 10, 0) + 0.2 * draw(TRAIN, DIM), centres.repeat(4, 1) + 0.2 * draw(
        40, DIM
    )


def heavy_tailed(draw):
    return draw(TRAIN, DIM) ** 5 * draw(TRAIN, 1).exp(), draw(TEST, DIM) ** 5


def decaying_spectrum(draw):
    scale = torch.arange(1, DIM + 1) ** -1.5
    return draw(TRAIN, DIM) * scale, draw(TEST, DIM) * scale


def duplicated(draw):
    return draw(TRAIN // 25, DIM).repeat(25, 1), draw(TEST, DIM)


def mostly_one_image(draw):
    train = draw(TRAIN, DIM)
    train[100:] = train[0]
    return train, torch.cat([train[:20], draw(20, DIM)])


def small_integers(draw):
    return draw(TRAIN, 3).round(), draw(TEST, 3).round()


def zeros_and_opposites(draw):
    train, test = large_mean(draw)
    train[::100], train[1::100], test[0] = 0, -train[1::100], 0
    return train, test


KINDS = [
    gaussian,
    large_mean,
    sorted_clusters,
    heavy_tailed,
    decaying_spectrum,
    duplicated,
    mostly_one_image,
    small_integers,
    zeros_and_opposites,
]


def features(kind, seed):
    generator = torch.Generator().manual_seed(seed)
    return kind(lambda *shape: torch.randn(*shape, generator=generator))
