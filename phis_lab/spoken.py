"""Numbers as people read them, in logs, tables and on the terminal: in which form, and with how many digits."""

import math
from collections.abc import Iterable

FRACTION = "fraction"
_FIXED = (1e-4, 1e7)
_SIGNIFICANT = 4


def spoken(value: float, unit: str = "") -> str:
    """`61.2%` for a fraction; else four digits, or three and an exponent: `0.4521`, `5.24e-09`, `nan`.

    Args:
        value: any number.
        unit: as a record states it.
    """
    return f"{100 * value:z.1f}%" if unit.startswith(FRACTION) else plain(value)


def plain(value: float) -> str:
    """Four significant digits; far from one three, with an exponent; zero has no sign."""
    return f"{value:z.4g}" if is_plain(value) else f"{value:.2e}"


def is_plain(value: float) -> bool:
    """Whether a number is read best without an exponent; NaN and infinity have none."""
    return not math.isfinite(value) or value == 0 or _FIXED[0] <= abs(value) < _FIXED[1]


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
    """`61.2±0.4`, or `+0.31±0.12` with `sign="+"`; the value alone where there is no spread (one seed).

    A spread that would be rounded to zero takes the decimals that it needs.
    """
    if 0 < spread < 0.5 * 10.0**-places:
        places = decimals([value], [spread])
    form = _form(max(abs(value), 0.0 if math.isnan(spread) else spread), places)
    text = f"{value:{sign}{form}}"
    return text if math.isnan(spread) else f"{text}±{spread:{form}}"


def interval(low: float, high: float, places: int) -> str:
    """`+0.12 to +0.31`."""
    form = _form(max(abs(low), abs(high)), places)
    return f"{low:+{form}} to {high:+{form}}"


def _form(size: float, places: int) -> str:
    """How numbers up to `size` are written: with `places` decimals, or with an exponent where these would not do.

    They would not do for numbers that are far from one, and for those that they round to zero. Zero has no sign.
    """
    rounds_to_zero = 0 < size < 0.5 * 10.0**-places
    return f"z.{places}f" if is_plain(size) and not rounds_to_zero else "z.2e"


def p_value(p: float) -> str:
    """`p = 0.012`, or `p < 0.0001`."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"
