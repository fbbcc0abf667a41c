"""What the server signs and checks again: thinking, encrypted reasoning, and the ids that say what stood before them.

The rule here: nothing has to be remembered. A signature or an id carries all that a later request is checked against,
so a restarted server, or another one with the same secret, checks as well as the one that produced it.
"""

import base64
import hashlib
import hmac
import secrets

DEFAULT_SECRET = b"scripted model server"
_MAC_BYTES = 18
_REASONING_PREFIX = "gAAAAA"


class Signer:
    """Signs and verifies with one secret."""

    def __init__(self, secret: bytes = DEFAULT_SECRET) -> None:
        self._secret = secret

    def _mac(self, *parts: str) -> bytes:
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._secret, digest_size=_MAC_BYTES).digest()

    def thinking(self, text: str) -> str:
        """The signature of a thinking block with this text."""
        return "Eq" + base64.b64encode(self._mac("thinking", text)).decode()

    def verify_thinking(self, text: str, signature: str) -> bool:
        """Whether `signature` was given to exactly this text."""
        return hmac.compare_digest(self.thinking(text).encode(), signature.encode("utf-8", "replace"))

    def redacted(self, text: str) -> str:
        """The data of a redacted thinking block that hides `text`."""
        return self._seal("redacted", text)

    def verify_redacted(self, data: str) -> bool:
        """Whether a redacted thinking block holds what this server sealed."""
        return self._open("redacted", data) is not None

    def reasoning(self, item_id: str, text: str) -> str:
        """The `encrypted_content` of the reasoning item `item_id`."""
        return self._seal(item_id, text)

    def verify_reasoning(self, item_id: str, summary: str, content: str) -> bool:
        """Whether `content` belongs to this item, and its summary, unless dropped, is what was sent with it."""
        text = self._open(item_id, content)
        return text is not None and summary in {"", text}

    def _seal(self, label: str, text: str) -> str:
        payload = self._mac(label, text) + text.encode("utf-8", "surrogatepass")
        return _REASONING_PREFIX + base64.urlsafe_b64encode(payload).decode()

    def _open(self, label: str, sealed: str) -> str | None:
        try:
            payload = base64.b64decode(sealed.removeprefix(_REASONING_PREFIX), altchars=b"-_", validate=True)
            text = payload[_MAC_BYTES:].decode("utf-8", "surrogatepass")
        except ValueError:
            return None
        return text if hmac.compare_digest(payload[:_MAC_BYTES], self._mac(label, text)) else None


class Mint:
    """Makes ids that are unique over servers: a nonce and a counter. Give a nonce to have the same ids again."""

    def __init__(self, nonce: str | None = None) -> None:
        raw = nonce if nonce is not None else secrets.token_hex(8)
        self._nonce = hashlib.blake2b(raw.encode(), digest_size=6).hexdigest()
        self._count = 0

    def suffix(self) -> str:
        """The next 24 characters, never given before."""
        self._count += 1
        return f"{self._nonce}{self._count:012x}"


def tool_use_id(suffix: str, *, after_thinking: bool) -> str:
    """An Anthropic tool use id that says whether a thinking block stood before it."""
    return f"toolu_01{'T' if after_thinking else 'N'}{suffix}"


def asks_for_thinking(block_id: object) -> bool:
    """Whether this server gave out this tool use together with thinking, which then must come back with it."""
    return isinstance(block_id, str) and block_id.startswith("toolu_01T")


def item_id(prefix: str, reasoning_id: str | None, suffix: str) -> str:
    """A Responses item id (`msg` or `fc`) that names the reasoning item that it belongs to, if any."""
    if reasoning_id is None:
        return f"{prefix}_{suffix}"
    return f"{prefix}_r{reasoning_id.removeprefix('rs_')}r{suffix}"


def required_reasoning(value: object) -> str | None:
    """The id of the reasoning item that the item `value` was produced with, None without one."""
    if not isinstance(value, str) or not value.startswith(("msg_r", "fc_r")):
        return None
    return "rs_" + value.split("_r", 1)[1].rpartition("r")[0]
