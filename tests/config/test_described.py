"""What is told of every option that there is, read from its file and its constructor."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from phis_lab.bounds import Above, Positive, Share
from phis_lab.config.described import asked, first_sentence, of_group, of_option, overview
from phis_lab.config.nodes import located, parameters_of
from phis_lab.config.option_files import CONF, groups, options
from phis_lab.config.signatures import arguments_told, spoken_range, spoken_type
from phis_lab.groups import ABOUT, GROUPS

ALL = [(group, option) for group in groups([CONF]) for option in options(group, [CONF])]


def test_every_group_says_what_it_is_for() -> None:
    assert ABOUT.keys() == GROUPS.keys()
    lines, others = overview()
    assert [line.name for line in lines] == list(GROUPS)
    assert {line.name: line.options for line in lines} == {name: options(name, [CONF]) for name in GROUPS}
    assert {line.name for line in others} == {"seed", "label", "online"}
    assert all(line.about for line in others)


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_has_a_sentence(group: str) -> None:
    assert [line.name for line in of_group(group) if not line.about] == []


@pytest.mark.parametrize(("group", "option"), ALL, ids=[f"{group}={option}" for group, option in ALL])
def test_every_option_tells_all_that_can_be_set(group: str, option: str) -> None:
    described = of_option(group, option)
    assert described.about
    assert Path(described.file).name == f"{Path(option).name}.yaml"
    for part in described.parts:
        assert part.about
        reader: Any = located(part.target)
        names = {argument.name.rpartition(".")[2] for argument in part.arguments}
        unset = set(parameters_of(reader) or ()) - names - {"args", "kwargs"}
        assert unset <= {"dim", "out_dim", "in_dim", "widest", "depth", "folder", "params", "lr", "weight_decay"}, unset
        for argument in part.arguments:
            assert argument.type
            assert argument.about or not part.target.startswith("phis_lab."), argument.name
            assert argument.name.startswith(part.path)


def test_an_argument_has_its_type_range_default_and_sentence() -> None:
    (part,) = of_option("estimation", "online").parts
    steps, *_ = (argument for argument in part.arguments if argument.name == "estimation.steps")
    assert (steps.type, steps.default, steps.needed) == ("int", "${online.steps}", False)
    assert steps.range == "1 to 1e9"
    assert steps.about
    roots = {a.name: a for p in of_option("data", "image_folder").parts for a in p.arguments}
    assert roots["data.root"].needed


def test_an_option_over_another_of_its_group_and_one_with_parts_of_other_groups() -> None:
    of_probes = {part.path for part in of_option("evaluation", "dino_probe").parts}
    assert {"evaluation", "evaluation.probes.knn", "evaluation.probes.dino_probe"} <= of_probes
    described = of_option("loss", "angle_summary")
    assert described.chooses == {"loss@loss.spatial_loss": "mse"}
    (spatial, *_) = described.parts[0].arguments
    assert (spatial.name, spatial.default) == ("loss.spatial_loss", "loss=mse")
    swept = {line.name: line.value for line in of_option("sweep", "demo").values}
    assert swept["hydra.sweeper.params.evaluation.probes.knn.when"] == "end"


@pytest.mark.parametrize(
    ("words", "understood"),
    [
        ("normalizer", ("normalizer", [])),
        ("experiment=phis/phis", ("experiment", ["phis/phis"])),
        ("task=[ood,transfer]", ("task", ["ood", "transfer"])),
        ("evaluation.data=cifar10", ("data", ["cifar10"])),
        ("+teacher@teachers.xfeat=sam_h", ("teacher", ["sam_h"])),
    ],
)
def test_words_are_understood_as_for_a_run(words: str, understood: tuple[str, list[str]]) -> None:
    assert asked(words) == understood


@pytest.mark.parametrize(
    ("group", "option", "says"),
    [
        ("normaliser", "", "Did you mean 'normalizer'?"),
        ("phis", "", "Did you mean normalizer=phis or stages=phis?"),
        ("normalizer", "phi", "Did you mean 'phis'?"),
        ("loss", "phis", "Did you mean normalizer=phis"),
        ("experiment", "phis", "is a folder of options; choose one of phis/"),
    ],
)
def test_a_typo_is_told_with_what_is_near(group: str, option: str, says: str) -> None:
    with pytest.raises(ValueError, match=group) as refused:
        of_option(group, option) if option else of_group(group)
    assert says in str(refused.value)


def test_own_options_are_told_too(tmp_path: Path) -> None:
    own = tmp_path / "normalizer" / "mine.yaml"
    own.parent.mkdir()
    own.write_text(
        "# Mine [bold]. More.\n_target_: phis_lab.normalizers.PartialWhiten\n_partial_: true\ngamma: 0.1  # less\n"
    )
    assert ("mine", "Mine [bold].") in [(line.name, line.about) for line in of_group("normalizer", [tmp_path])]
    assert of_option("normalizer", "mine", [tmp_path]).parts[0].arguments[0].default == 0.1
    own.write_text("# Mine.\n_target_: nowhere.Part\n")
    with pytest.raises(ValueError, match="there is no package nowhere"):
        of_option("normalizer", "mine", [tmp_path])
    own.write_text("# Mine.\na: [\n")
    with pytest.raises(ValueError, match=r"mine\.yaml cannot be read"):
        of_option("normalizer", "mine", [tmp_path])


@pytest.mark.parametrize(
    ("hint", "words", "bounds"),
    [
        (int | None, "int or null", ""),
        (Literal["a", "b"] | None, "a or b or null", ""),
        (Share, "float", "0 to 1"),
        (Above | None, "float or null", "above 0"),
        (Positive, "int", "1 to 1e9"),
        (Annotated[float, Field(gt=0, le=1)], "float", "above 0, at most 1"),
        (Annotated[Sequence[Share], Field(min_length=2)], "list of float", "2 or more of them; each 0 to 1"),
        (tuple[float, float], "[float, float]", ""),
        (tuple[str, ...], "list of str", ""),
        (Mapping[str, int], "int by name", ""),
        (Any, "any value", ""),
        (dict, "values by name", ""),
    ],
)
def test_types_and_ranges_in_words(hint: Any, words: str, bounds: str) -> None:
    assert (spoken_type(hint), spoken_range(hint)) == (words, bounds)


def test_arguments_are_read_from_docstrings() -> None:
    class Parent:
        """A parent.

        Args:
            first: of the parent,
                in two lines.
            shared: of the parent.
        """

    class Child(Parent):
        """A child.

        Args:
            second, third (int, optional): of both: a colon.
            shared: of the child.

        Raises:
            ValueError: no argument.
        """

    told = arguments_told(Child)
    assert told == {
        "second": "of both: a colon.",
        "third": "of both: a colon.",
        "shared": "of the child.",
        "first": "of the parent, in two lines.",
    }
    assert inspect.isclass(Child)


def test_a_sentence_ends_where_the_next_one_begins() -> None:
    assert first_sentence("One, e.g. Two of 1.5 and v. three. Four.") == "One, e.g. Two of 1.5 and v. three."
