r"""Numbers in texts, as people and models write them.

The rule here: a number is read exactly, as a decimal. Digits within a word, a version or an address are none. Which of
`.` and `,` parts whole from part is said by the caller, never guessed.

    1,234.5   1\,234.5   1'234.5   1_234   12,34,567   -5   -$5   .5   5.
    1.5e-3   1.5 × 10^8   1.5*10**8   10^8   \times 10^{8}
    12 %   12 percent   3 million   3/4   \frac{3}{4}
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from typing import Literal

Point = Literal[".", ","]

# What lies beyond is no quantity that anybody compares, and would be slow to reckon with.
_LARGEST_EXPONENT = 400
_MOST_DIGITS = 400
_BEYOND = 2 * _LARGEST_EXPONENT
_DIGITS = 60
_SPACES = "\u00a0\u2009\u202f"
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that was read, as `text`. Its digits stand from `start` to `end`; the rest of it is around them.

    `value` is the number with its scale; that of `12 %` is 12, with `percent` set.
    """

    value: Decimal
    text: str
    start: int
    end: int
    percent: bool = False


def quantities(text: str, point: Point = ".") -> Iterator[Quantity]:
    """The numbers of a text, in their order."""
    for found in _pattern(point).finditer(text):
        value = _value(found)
        if value is None:
            continue
        start, end = found.span("number")
        yield Quantity(value, found[0].strip(), start, end, found["percent"] is not None)


def decimal_of(number: float) -> Decimal | None:
    """The number as it is written; None if it is not finite or beyond what is compared."""
    return _bounded(Decimal(repr(number)))


def _value(found: re.Match[str]) -> Decimal | None:
    sign = -1 if found["sign"] in {"-", "\u2212"} else 1
    with localcontext(prec=_DIGITS):
        if found["below"] is not None:
            value = _ratio(found["above"], found["below"])
        elif found["under"] is not None:
            value = _ratio(found["over"], found["under"], found["mixed"] or "0")
        elif found["bare"] is not None:
            value = _power(found["bare"])
        else:
            value = _plain(found["whole"] or "0", found["part"] or found["alone"] or "")
        power = found["exponent"] or found["power"]
        if value is not None and power is not None:
            value *= _power(power)
        if value is not None and found["scale"] is not None:
            value = value.scaleb(_SCALES[found["scale"].lower()])
        return None if value is None else _bounded(sign * value)


def _plain(whole: str, part: str) -> Decimal | None:
    digits = "".join(character for character in whole if character.isdigit())
    return Decimal(f"{digits}.{part}") if len(digits) + len(part) <= _MOST_DIGITS else None


def _ratio(above: str, below: str, more: str = "0") -> Decimal | None:
    if max(len(above), len(below), len(more)) > _MOST_DIGITS or not Decimal(below):
        return None
    return Decimal(more) + Decimal(above.replace("\u2212", "-")) / Decimal(below)


def _power(exponent: str) -> Decimal:
    """Ten to that power; one that is beyond all bounds is brought to where it is seen to be."""
    digits = exponent.lstrip("-+\u2212")
    number = int(digits) if len(digits) < 6 else _BEYOND
    return Decimal(1).scaleb(min(number, _BEYOND) * (-1 if exponent[0] in "-\u2212" else 1))


def _bounded(value: Decimal) -> Decimal | None:
    if not value.is_finite() or (value and abs(value.adjusted()) > _LARGEST_EXPONENT):
        return None
    return value


@cache
def _pattern(point: Point) -> re.Pattern[str]:
    """One expression for every way to write a number. It never goes back over more than one number."""
    dot, comma = (r"\.", ",") if point == "." else (",", r"\.")
    group = rf"(?:[{comma}_'\u2019{_SPACES}]|\{{,\}}|\\,)"
    ten = r"10\s?(?:\^|\*\*)\s?"
    return re.compile(
        rf"""
        (?<!\w)(?<!\d{dot})                         # not within a word, a version or an address
        (?P<sign>[-+\u2212])?
        (?:[$€£¥₹]\s?)?
        (?P<number>
            (?P<mixed>\d+)?\\[dt]?frac\{{\s?(?P<over>[-\u2212]?\d+)\s?\}}\{{\s?(?P<under>\d+)\s?\}}
          | (?<![\w/])(?P<above>\d+)\s?[/\u2044]\s?(?P<below>\d+)(?![\w/\u2044]|{dot}\d)
          | {ten}\{{?(?P<bare>[-+\u2212]?\d+)\}}?(?!\w)
          | (?:
              (?P<whole>\d{{1,3}}(?:{group}\d{{3}})+(?!\d)|\d{{1,2}}(?:,\d\d)+,\d{{3}}(?!\d)|\d+)
              (?:{dot}(?P<part>\d+))?
            | {dot}(?P<alone>\d+)
            )
            (?!\d|{dot}\d)
            (?:
              [eE](?P<exponent>[-+\u2212]?\d+)(?!\w)
            | \s?(?:×|x|\*|·|\\times|\\cdot)\s?{ten}\{{?(?P<power>[-+\u2212]?\d+)\}}?(?!\w)
            )?
        )
        (?P<percent>\s?(?:\\?%|per\s?cent\b))?
        (?:\s?(?P<scale>thousand|million|billion|trillion)\b)?
        """,
        re.VERBOSE | re.IGNORECASE,
    )
