"""Numbers and text as the reports show them; `static/src/page/report/numbers.ts` writes the same."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from html import escape

#: Stands for a number that a result does not have.
NONE = "–"


def fixed(value: float, decimals: int) -> str:
    """`value` with this number of decimals, ties away from zero as in JavaScript; never "-0"."""
    text = str(Decimal(value).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))
    return text.removeprefix("-") if float(text) == 0 else text


def fixed_or_none(value: float | None, decimals: int) -> str:
    """The same; a dash for None."""
    return NONE if value is None else fixed(value, decimals)


def spoken_ml(value: float) -> str:
    """A volume with about three significant digits: "34.9 mL", "0.42 mL", "0.013 mL", "1243 mL"."""
    return f"{fixed(value, 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3)} mL"


def safe(text: str) -> str:
    """Text for HTML, with quotes escaped too."""
    return escape(text, quote=True)
