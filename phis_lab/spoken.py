"""Single numbers as people read them, in logs, tables and on the terminal."""

import math

FRACTION = "fraction"
_FIXED = (1e-4, 1e7)


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
