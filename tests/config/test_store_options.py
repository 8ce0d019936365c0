"""`teachers.store` and `teachers.store_dtype`: read in one place, refused by name, and content only by their effect."""

import pytest
from hydra import compose
from omegaconf import DictConfig

from phis_lab.config.assemble import assemble
from phis_lab.config.check import check
from phis_lab.config.jobs import create_job
from phis_lab.config.resolvers import content_hash, to_plain
from phis_lab.config.teachers import split


def composed(*overrides: str) -> DictConfig:
    return compose("config", ["debug=smoke", *overrides], return_hydra_config=True)


def test_the_set_is_told_apart_from_its_options() -> None:
    members, options = split(to_plain(composed("teachers.store=here", "teachers.store_dtype=int8"))["teachers"])
    assert set(members) == {"dfn_clip", "siglip", "dinov2_g", "sam_h"}
    assert (options.store, options.store_dtype) == ("here", "int8")
    assert split({"xfeat": {}})[1].store is None


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("teachers.store_dtype=int4", "teachers.store_dtype='int4': Input should be 'float32', 'bfloat16', 'float16'"),
        ("teachers.store=3", "teachers.store=3: Input should be a valid string"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_all_other_problems(override: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"optimizer\.lr=-1") as refusal:
        check(to_plain(composed(override, "optimizer.lr=-1")))
    assert says in str(refusal.value)


def test_a_store_of_fresh_views_is_refused_before_anything_loads(caplog: pytest.LogCaptureFixture) -> None:
    job = create_job(composed("teachers.store=here", "logger=none"), "somewhere")
    with pytest.raises(ValueError, match=r"augmentation\.views=null draws fresh ones .* or leave teachers\.store out"):
        assemble([job], {job.folder: "phis"})
    assert "teacher" not in caplog.text


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ([], ["teachers.store_dtype=int8"], True),
        (["teachers.store=here"], ["teachers.store=there"], True),
        ([], ["teachers.store=here"], False),
        (["teachers.store=here"], ["teachers.store=here", "teachers.store_dtype=int8"], False),
    ],
)
def test_content_is_whether_and_how_features_are_stored_but_not_where(
    first: list[str], second: list[str], same: bool
) -> None:
    assert (content_hash(composed(*first)) == content_hash(composed(*second))) == same
