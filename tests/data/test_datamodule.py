from types import SimpleNamespace

import lightning
import pytest
import torch
from torch import nn

from phis_lab.data import Augmentation, DataModule
from phis_lab.data.digits import Digits
from phis_lab.data.image_folder import ImageFolder


def digits(steps=6, views=None, **options):
    options = {"train_images": 60, "batch_size": 20} | options
    return DataModule(Digits(**options), Augmentation(8, views=views), steps)


def batches(data):
    return [step["all"] for step in data.train_dataloader()]


def assert_same(some, others):
    assert len(some) == len(others)
    for batch, other in zip(some, others, strict=True):
        assert torch.equal(batch.images, other.images)
        assert torch.equal(batch.keys, other.keys)


def test_a_batch_holds_images_in_zero_to_one_with_their_keys():
    steps = batches(digits())
    assert [batch.images.shape for batch in steps] == [(20, 3, 8, 8)] * 6
    assert all(0 <= batch.images.min() <= batch.images.max() <= 1 for batch in steps)
    assert steps[0].keys.dtype == torch.int64
    assert [batch.keys[:, 1].unique().tolist() for batch in steps] == [[0]] * 3 + [[1]] * 3
    assert steps[0].corrupt == []


def test_a_resumed_run_sees_the_pixels_of_an_uninterrupted_one():
    resumed = digits()
    resumed.start_step = 4
    assert_same(batches(resumed), batches(digits())[4:])


def test_the_pixels_do_not_depend_on_the_number_of_workers():
    assert_same(batches(digits(workers=2)), batches(digits()))


def test_two_processes_share_the_batch_of_one():
    halves = []
    for rank in range(2):
        data = digits()
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2)
        halves.append(batches(data))
    joined = [
        first._replace(images=torch.cat([first.images, second.images]), keys=torch.cat([first.keys, second.keys]))
        for first, second in zip(*halves, strict=True)
    ]
    assert_same(joined, batches(digits()))


def test_fixed_views_repeat_their_pixels_and_fresh_ones_do_not():
    def by_key(batches):
        return {tuple(k): i for b in batches for k, i in zip(b.keys.tolist(), b.images, strict=True)}

    fixed = batches(digits(views=1))
    assert len(by_key(fixed)) == 60
    fresh = by_key(batches(digits()))
    assert len(fresh) == 120
    assert sum(torch.equal(fresh[index, 0], fresh[index, 1]) for index in range(60)) < 30


def pixels_by_key(data):
    return {tuple(k): i for b in batches(data) for k, i in zip(b.keys.tolist(), b.images, strict=True)}


def test_fixed_views_are_the_same_for_every_seed_of_the_data_and_fresh_ones_are_not():
    for views, same in ((2, True), (None, False)):
        first, second = pixels_by_key(digits(views=views)), pixels_by_key(digits(views=views, seed=1))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first) == same


def test_the_seed_of_the_augmentation_changes_fixed_views_alone():
    def seeded(views, seed):
        return DataModule(Digits(train_images=60, batch_size=20), Augmentation(8, views=views, seed=seed), 6)

    for views, same in ((2, False), (None, True)):
        first, second = pixels_by_key(seeded(views, 0)), pixels_by_key(seeded(views, 1))
        assert all(torch.equal(first[key], second[key]) for key in first) == same


def rendered(views):
    keys = [[(index, view) for index in range(7)] for view in range(2)]
    return {tuple(k): i for images, ks in views.render(keys) for k, i in zip(ks.tolist(), images, strict=True)}


@pytest.mark.parametrize("workers", [0, 2])
def test_views_to_be_stored_have_the_pixels_of_training(workers):
    data = digits(views=2, workers=workers)
    seen, stored = pixels_by_key(data), rendered(data.fixed_train_views())
    assert len(stored) == 14
    assert all(torch.equal(seen[key], image) for key, image in stored.items())


def test_test_images_to_be_stored_have_the_pixels_of_the_evaluation():
    data = digits()
    views = data.central_test_views(20)
    assert (views.count, views.views, views.split) == (20, 1, "test")
    stored = torch.cat([images for images, _ in views.render([[(i, 0) for i in range(20)]])])
    assert torch.equal(stored, torch.cat([images for images, _ in data.eval_loader("test", 20)]))


@pytest.mark.parametrize(("steps", "views"), [(1, 1), (3, 1), (4, 2), (60, 5)])
def test_the_views_to_be_stored_are_those_that_the_run_visits(steps, views):
    assert digits(steps=steps, views=5).fixed_train_views().views == views
    assert digits(steps=steps, views=5).fixed_train_views(every=True).views == 5


def test_fresh_views_cannot_be_stored():
    with pytest.raises(ValueError, match=r"no fixed views; set augmentation\.views"):
        digits().fixed_train_views()


@pytest.mark.parametrize(
    "change", [{"scale": (0.5, 1.0)}, {"ratio": (1.0, 1.0)}, {"flip": False}, {"seed": 1}, {"image_size": 9}]
)
def test_whatever_changes_the_pixels_changes_the_identity_of_the_views(change):
    def identity(**options):
        augmentation = Augmentation(**{"image_size": 8, "views": 2} | options)
        return DataModule(Digits(train_images=60, batch_size=20), augmentation, 6).fixed_train_views().identity()

    assert identity() != identity(**change)
    assert identity() == identity(views=3)
    assert identity() != digits(views=2, train_images=61).fixed_train_views().identity()


def test_loading_does_not_touch_the_global_random_stream():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    batches(digits())
    list(digits().eval_loader("test", 20))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_evaluation_sees_a_balanced_part_of_a_split_with_its_labels():
    data = digits()
    images, labels = (torch.cat(parts) for parts in zip(*data.eval_loader("test", 50), strict=True))
    assert labels.bincount().tolist() == [5] * 10
    assert images.shape == (50, 3, 8, 8)
    everything = list(data.eval_loader("test", 10_000))
    assert torch.equal(torch.cat([labels for _, labels in everything]), data.source.test.labels)
    expected = torch.stack([data.source.test.image(index) for index in range(297)]) / 255
    torch.testing.assert_close(torch.cat([images for images, _ in everything]), expected)


def test_images_without_labels_are_refused_only_where_the_labels_are_used(tmp_path, png):
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
        (tmp_path / split / "cat" / "1.png").write_bytes(png(1))
        (tmp_path / split / "2.png").write_bytes(png(2))
    data = DataModule(ImageFolder(root=str(tmp_path), batch_size=2), Augmentation(8), steps=1)
    assert len(batches(data)[0].images) == 2
    with pytest.raises(ValueError, match="this evaluation needs labels, 1 of 2 images have none"):
        data.eval_loader("train")
    ((images, labels),) = data.eval_loader("train", labelled=False)
    assert len(images) == 2
    assert sorted(labels.tolist()) == [-1, 0]


class Watcher(lightning.LightningModule):
    """Trains nothing that matters and remembers which images it saw."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seen = []

    def training_step(self, batch):
        self.seen.append(batch["all"].keys.tolist())
        return self.layer(batch["all"].images.mean().view(1)).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data, tmp_path, max_steps, checkpoint=None):
    watcher = Watcher()
    trainer = lightning.Trainer(
        max_steps=max_steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(watcher, datamodule=data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return trainer, watcher.seen


# lightning still compares pytree specs in a way that torch deprecates
@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)`:FutureWarning")
@pytest.mark.parametrize("done", [2, 4, 5])
def test_a_trainer_sees_every_step_once_also_when_it_resumes(tmp_path, done):
    expected = [batch.keys.tolist() for batch in batches(digits())]
    first, before = fit(digits(), tmp_path, done)
    first.save_checkpoint(tmp_path / "last.ckpt")
    resumed = digits()
    resumed.start_step = done
    second, after = fit(resumed, tmp_path, 6, tmp_path / "last.ckpt")
    assert before + after == expected
    assert second.global_step == 6
