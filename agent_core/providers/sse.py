"""Server-sent events, read for their data alone.

The rule here: every line ending and every cut between packets is taken, and a last event without its blank line too.
Event names are not looked at: all three wires repeat them in the data. Format: WHATWG HTML, "Server-sent events".
"""


class EventData:
    """Cuts bytes as they arrive into the data of whole events."""

    __slots__ = ("_data", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every event that is whole now."""
        text = self._rest + chunk
        held = b""
        if b"\r" in text:
            if text.endswith(b"\r"):
                # The line feed that belongs to it may be in the next packet.
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = text.split(b"\n")
        self._rest = lines.pop() + held
        events: list[bytes] = []
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[5:])
            elif not line and data:
                events.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
        return events

    def end(self) -> list[bytes]:
        """What is left when the stream has ended."""
        return self.feed(b"\n\n")
