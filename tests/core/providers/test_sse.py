"""Events are found in a stream however its bytes are cut and its lines are ended."""

from hypothesis import given
from hypothesis import strategies as st

from agent_core.providers.sse import EventData

lines = st.binary(min_size=1, max_size=8).filter(lambda data: not {10, 13} & set(data))
payloads = st.lists(st.lists(lines, min_size=1, max_size=3), max_size=5)
endings = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(payloads=payloads, ending=endings, cuts=st.lists(st.integers(0, 200)), last=st.booleans())
def test_any_cut_and_any_line_ending_gives_the_same_events(
    payloads: list[list[bytes]], ending: bytes, cuts: list[int], last: bool
) -> None:
    stream = b"".join(
        b"event: any" + ending + b": a comment" + ending + b"".join(b"data:" + line + ending for line in data) + ending
        for data in payloads
    )
    if last:
        # A server that ends its stream without the blank line.
        stream = stream.removesuffix(ending)
    for places in (sorted(cuts), range(len(stream))):
        assert read(stream, [*places, len(stream)]) == [b"\n".join(data) for data in payloads]


def read(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The events of a stream that comes in pieces."""
    reader = EventData()
    found: list[bytes] = []
    at = 0
    for cut in cuts:
        found += reader.feed(stream[at:cut])
        at = max(at, cut)
    return found + reader.end()


def test_data_of_several_lines_is_one_event() -> None:
    assert EventData().feed(b"data: a\ndata: b\n\n") == [b" a\n b"]


def test_events_without_data_are_passed_over() -> None:
    assert EventData().feed(b"event: ping\n\n: keep-alive\n\n\n\n") == []
