"""How many digits of a number are worth printing."""

import math
from collections.abc import Iterable

_SIGNIFICANT = 4


def decimals(values: Iterable[float], spreads: Iterable[float], digits: int = 1) -> int:
    """Decimals for a column: as many as the median spread justifies, and at most four significant digits.

    Args:
        values: the column.
        spreads: their spreads; NaN where there is none.
        digits: digits of the spread to keep; one makes 61.24 with spread 0.41 into 61.2±0.4.
    """
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0]
    if not sizes:
        return 0
    most = max(0, _SIGNIFICANT - 1 - math.floor(math.log10(max(sizes))))
    known = sorted(spread for spread in spreads if math.isfinite(spread) and spread > 0)
    if not known:
        return most
    median = known[len(known) // 2]
    return min(most, max(0, digits - 1 - math.floor(math.log10(median))))


def with_spread(value: float, spread: float, places: int, sign: str = "-") -> str:
    """`61.2±0.4`, or `+0.31±0.12` with `sign="+"`; the value alone where there is no spread (one seed)."""
    text = f"{value:{sign}.{places}f}"
    return text if math.isnan(spread) else f"{text}±{spread:.{places}f}"


def p_value(p: float) -> str:
    """`p = 0.012`, or `p < 0.0001`."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"
