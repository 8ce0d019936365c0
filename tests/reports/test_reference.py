from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from pydantic import ValidationError

from phis_lab.reports import average_ranks
from phis_lab.reports.reference import TABLES, Column, Table, paper_row, rank_table, raw_table, recompute
from phis_lab.reports.reference.paper_tables import ROWS

CONF = Path(__file__).parents[2] / "conf"
PRINTED = 0.0051  # half of the last digit, and 9.9375 is printed as 9.94


@pytest.mark.parametrize("name", ["table1", "table4", "table12"])
def test_the_papers_ranks_follow_from_its_raw_tables(name):
    ranks = pd.DataFrame.from_dict(recompute(name), orient="index")
    assert_frame_equal(ranks, TABLES[name].frame(), atol=PRINTED, rtol=0)


@pytest.mark.parametrize("name", ["table1", "table4", "table12"])
def test_phis_has_the_best_average_rank_of_the_paper(name):
    averages = {method: ranks["Avg"] for method, ranks in recompute(name).items()}
    assert min(averages, key=averages.__getitem__) == "PHI-S"


def test_erratum_the_llava_column_of_table_12_does_not_follow_its_caption():
    assert any("caption" in erratum for erratum in TABLES["table12"].errata)
    raw, categories, downwards = raw_table("table12")
    grouped = categories | {"LLaVA": raw_table("table1")[1]["LLaVA"]}
    error = average_ranks(raw, grouped, lower_is_better=downwards)["LLaVA"] - TABLES["table12"].frame()["LLaVA"]
    assert (error.abs() > 0.2).sum() >= 6


def test_erratum_two_methods_print_alike_and_are_ranked_apart():
    assert any("54.49" in erratum for erratum in TABLES["table13"].errata)
    printed = TABLES["table13"].frame()["MultiView"]
    assert printed["PHI-S"] == printed["ZCA"] == 54.49
    raw, categories, downwards = raw_table("table1")
    tied = average_ranks(raw.assign(MultiView=printed[raw.index]), categories, lower_is_better=downwards)
    assert abs(tied.loc["ZCA", "Probe3D"] - TABLES["table1"].frame().loc["ZCA", "Probe3D"]) == 0.25


def test_erratum_tables_2_and_18_disagree_on_the_papers_own_models():
    final, others = (TABLES[name].frame()[["ZeroShot", "kNN", "ADE20k"]] for name in ("table2", "table18"))
    differs = final.ne(others.loc[final.index])
    assert differs.loc["PHI-S-RADIO-B"].tolist() == [True, False, False]
    assert differs.loc["PHI-S-RADIO-L"].tolist() == [True, True, False]
    assert not differs.loc["AM-RADIO-H"].any()
    assert all(TABLES[name].errata for name in ("table2", "table18"))


def test_the_scales_of_table_8_are_those_of_the_statistics_of_table_7():
    alpha, std = TABLES["table8"].frame(), TABLES["table7"].frame()["global std"]
    assert ((alpha["alpha global"] * std - 1).abs() < 0.05).all()  # two printed digits, and other images
    assert (alpha["alpha PHI-S"] >= alpha["alpha global"]).all()  # var = mean eigenvalue + spread of channel means
    assert std["SAM"] / std["DFN CLIP"] == pytest.approx(191, abs=0.5)  # said in section 1


@pytest.mark.parametrize("key", TABLES)
def test_every_table_says_what_it_is(key):
    table = TABLES[key]
    assert key == f"table{table.number.split()[0]}"
    assert table.title == f"PHI-S, arXiv:2410.01680v1, table {table.number}"
    assert table.caption
    assert table.frame().notna().any(axis=None)


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValidationError, match=r"has 1 columns; of other lengths are: \['b'\]"):
        Table(number="1", caption="", source="", columns=(Column("x", "", True),), rows={"a": (1.0,), "b": (1.0, 2.0)})


def test_what_is_no_table_of_ranks_is_not_recomputed():
    with pytest.raises(
        ValueError, match=r"'table3' is not a table of ranks: there are \['table1', 'table4', 'table12'\]"
    ):
        recompute("table3")


def test_every_row_of_the_papers_methods_can_be_configured():
    assert set(ROWS.values()) == set(TABLES["table12"].rows)
    for choice in ROWS:
        for group, option in zip(("normalizer", "loss", "balancer"), choice, strict=True):
            assert (CONF / group / f"{option}.yaml").exists()


@pytest.mark.parametrize(
    ("choices", "overrides", "row"),
    [
        ({"normalizer": "phis", "loss": "mse", "balancer": "adaloss"}, ["balancer=adaloss"], "Ada-PHI-S"),
        ({"normalizer": "identity", "loss": "hybrid_mse"}, ["seed=1", "optimizer.lr=0.1"], "Hyb MSE"),
        ({"normalizer": "identity", "loss": "hybrid_mse"}, ["loss.cosine_weight=0.5"], None),
        ({"normalizer": "phis", "loss": "cosine"}, [], None),
        ({"normalizer": "center_scale"}, [], None),
        ({}, [], None),
    ],
)
def test_a_run_repeats_a_row_only_where_its_method_is_the_papers(choices, overrides, row):
    assert paper_row(choices, overrides) == row


@pytest.mark.parametrize(
    ("rows", "students", "table"),
    [
        ({"MSE", "PHI-S"}, {"pocket_vit"}, "table1"),
        ({"MSE", "Ada-PHI-S"}, {"vit_base"}, "table12"),
        ({"MSE", "PHI-S"}, {"vit_large"}, "table4"),
        ({"MSE", "PHI-S"}, {"vit_base", "vit_large"}, "table1"),
    ],
)
def test_the_table_beside_ours_is_of_the_same_size_and_methods(rows, students, table):
    assert rank_table(rows, students) == table
