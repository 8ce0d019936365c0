"""The numbers that methods have in common, for every seed that they share."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from phis_lab.shapes import Float64


@dataclass(frozen=True)
class Cube:
    """Measurements without gaps: what is compared over it is compared on equal terms.

    Args:
        values: a number for every seed, method and metric; NaN where a run diverged.
        seeds: those that all these methods were run with.
        methods: those with enough seeds, in the order of `numbers`.
        metrics: those that every method has for all these seeds.
    """

    values: Float64[np.ndarray, "seeds methods metrics"]
    seeds: list[int]
    methods: list[str]
    metrics: list[str]

    @classmethod
    def of(cls, numbers: pd.DataFrame, fewest_seeds: int = 2) -> "Cube":
        """From numbers as `measurements` gives them; empty where no method has so many seeds."""
        seeds_of = numbers.groupby("method", sort=False)["seed"].agg(set)
        seeds_of = seeds_of[seeds_of.map(len) >= fewest_seeds]
        methods = [str(name) for name in seeds_of.index]
        seeds = sorted(set.intersection(*seeds_of)) if methods else []
        kept = numbers[numbers["seed"].isin(seeds) & numbers["method"].isin(methods)]
        count = kept.groupby("metric", sort=False).size()
        metrics = [str(name) for name in count.index[count == len(seeds) * len(methods)]]
        cells = pd.MultiIndex.from_product([seeds, methods, metrics])
        column = kept.set_index(["seed", "method", "metric"])["value"].reindex(cells)
        shape = (len(seeds), len(methods), len(metrics))
        return cls(column.to_numpy(dtype=float).reshape(shape), seeds, methods, metrics)
