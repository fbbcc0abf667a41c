"""What an error says of an attempt: whose it is, and whether another attempt may end better."""

from collections.abc import Callable

import pytest

from agent_core.evaluation import verdict
from agent_core.evaluation.verdict import Verdict, judge


def judged(fail: Callable[[], object]) -> Verdict:
    """The verdict on what this raises."""
    try:
        fail()
    except Exception as error:  # noqa: BLE001 - whatever it raises is judged
        return judge(error)
    raise AssertionError("it raised nothing")


@pytest.mark.parametrize(
    ("raised", "again"), [(ZeroDivisionError("oops"), False), (TimeoutError("oops"), True), (OSError("oops"), True)]
)
def test_a_mistake_in_an_authors_code_is_told_with_its_line_and_what_may_pass_is_tried_again(
    raised: Exception, *, again: bool
) -> None:
    def fail() -> None:
        raise raised

    found = judged(fail)
    assert (found.outcome, found.again) == ("infrastructure_failed", again)
    assert found.error is not None
    assert (found.error.boundary, found.error.kind) == ("config", type(raised).__name__)
    assert f"{__file__}:" in found.error.message
    assert f"raise raised\n  {type(raised).__name__}: oops\nMend it" in found.error.message


def test_a_mistake_inside_what_an_author_called_is_the_authors() -> None:
    found = judged(lambda: int("seven"))
    assert (found.error is not None, found.again) == (True, False)


def test_what_this_project_raises_is_not_taken_for_the_authors_mistake() -> None:
    # It stands as if in a file of the project's, called by the author's.
    names: dict[str, Callable[[], None]] = {}
    exec(compile("def fail():\n    raise ValueError('ours')\n", str(verdict.__file__), "exec"), names)
    found = judged(names["fail"])
    assert found.error is not None
    assert (found.again, found.error.boundary, found.error.message) == (True, "placement", "ValueError: ours")
