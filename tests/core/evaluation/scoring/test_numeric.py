"""Numbers in free text, and how near they have to be."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.evaluation.scoring import Numeric
from agent_core.evaluation.scoring.quantities import quantities
from tests.core.evaluation.scoring.world import answered, judged, refused, value


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,234.5 and 1'234.5, 1_234, 12,34,567", ["1234.5", "1234.5", "1234", "1234567"]),
        ("-5 \u22125 $5 -$5 $-5 .5 5.", ["-5", "-5", "5", "-5", "-5", "0.5", "5"]),
        ("1.5e-3 1.5 × 10^8 2*10**3 10^8 3 \\times 10^{-2}", ["0.0015", "1.5E+8", "2E+3", "1E+8", "0.03"]),
        ("3 million and 2.5 billion", ["3E+6", "2.5E+9"]),
        ("3/4 or \\frac{3}{4} or 2\\frac{1}{2}", ["0.75", "0.75", "2.5"]),
        ("1\\,234 1{,}234 1\u202f234", ["1234", "1234", "1234"]),
        ("version 1.2.3 at 192.168.0.1, v2.1, H2O", []),
        ("on 12/05/2024, 5-10 people at 12:30", ["12", "5", "2024", "5", "10", "12", "30"]),
        ("1,2,3", ["1", "2", "3"]),
        ("12kg, 5e, 3rd", ["12", "5", "3"]),
        ("1/0 1e999 1e-99999999 " + "9" * 1000, []),
        ("\u0661\u0662\u0663", ["123"]),
        ("**42**", ["42"]),
        ("nothing at all: NaN, inf, e5", []),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, numbers: list[str]) -> None:
    assert [one.value for one in quantities(text)] == [Decimal(number) for number in numbers]


def test_which_sign_parts_whole_from_part_is_said_and_not_guessed() -> None:
    assert [str(one.value) for one in quantities("1.234,56 und 3,14", ",")] == ["1234.56", "3.14"]
    assert [str(one.value) for one in quantities("1.234,56")] == ["1.234", "56"]


NUMBERS = st.integers(-(10**12), 10**12) | st.decimals(-(10**9), 10**9, places=4)


@given(NUMBERS, st.sampled_from(["{}", "{:,}", "= {}.", "**{:,}**", "({})", "€{:,} in all", "{:,} km"]))
def test_every_number_is_read_however_it_is_grouped(number: Decimal, form: str) -> None:
    assert [one.value for one in quantities("so it is " + form.format(number))] == [number]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_that_python_writes_is_its_own_answer(number: float) -> None:
    assert Numeric().judge(answered(f"It is {number!r} then.", number)).value == 1


@given(st.text(alphabet="0123456789.,-+eE/ %^*x{}\\'_10", max_size=60))
def test_no_text_makes_reading_fail(text: str) -> None:
    for point in (".", ","):
        assert all(one.value.is_finite() for one in quantities(text, point))


@pytest.mark.parametrize(
    ("settings", "answer", "target", "right"),
    [
        ({}, "First 3, then 4, so 7.", 7, 1),
        ({"read": "first"}, "First 3, then 4, so 7.", 3, 1),
        ({"read": "any"}, "First 3, then 4, so 7.", 4, 1),
        ({"after": "ANSWER:"}, "2+2\nANSWER: 4 (of 100)", 4, 0),
        ({"after": "ANSWER:", "read": "first"}, "2+2\nANSWER: 4 (of 100)", 4, 1),
        ({"after": "ANSWER:"}, "it is 4", 4, 0),
        ({"unit": "km"}, "5 km (3.1 miles)", 5, 1),
        ({"unit": "$"}, "$5, for 3 of them", 5, 1),
        ({"unit": "m"}, "5 miles and 3 m and 4", 3, 1),
        ({"unit": "km"}, "it is 5", 5, 1),
        ({"tolerance": 0.01}, "0.31", 0.3, 1),
        ({"tolerance": 0.01}, "0.3101", 0.3, 0),
        ({"relative": 0.1}, "110", 100, 1),
        ({"relative": 0.1}, "110.5", -100, 0),
        ({}, "0.3333333333", "1/3", 1),
        ({}, "10000000001", 10000000002, 0),
        ({}, "12.5%", 12.5, 1),
        ({}, "12.5%", 0.125, 1),
        ({}, "0.125", "12.5%", 1),
        ({}, "12.5%", "12.5 %", 1),
        ({}, "0.125%", "12.5%", 0),
        ({"percent": "fraction"}, "12.5%", 12.5, 0),
        ({"percent": "number"}, "12.5%", 0.125, 0),
        ({}, "1,000", ["one", 1000][1:], 1),
        ({}, "I do not know", 5, 0),
        ({"point": ","}, "Das macht 3,5", "3,5", 1),
    ],
)
async def test_a_number_is_right_if_it_is_near_enough(
    settings: dict[str, Any], answer: str, target: Any, right: float
) -> None:
    assert await value(Numeric(**settings), answer, target) == right


async def test_it_says_which_number_it_took() -> None:
    score = await judged(Numeric(), "about 1,200 people", 7)
    assert (score.answer, score.explanation) == ("1,200", "Not 7.")


@pytest.mark.parametrize("target", [True, "none", float("inf"), {"a": 1}, ["none"]])
async def test_a_target_without_a_number_is_an_error(target: Any) -> None:
    assert (await refused(Numeric(), "5", target)).kind == "bad_target"
