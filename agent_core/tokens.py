"""Token estimates for what no provider has counted yet.

The rule here: an estimate is cheap and never used where the provider's own count is at hand. Messages are immutable,
so each is estimated once and remembered for as long as it lives.
"""

from weakref import ref

from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.messages import Message

IMAGE_TOKENS = 1_200
MESSAGE_TOKENS = 4
# Characters in ten tokens, whole numbers so that nothing is rounded twice.
_CLAUDE = 33
_OTHERS = 40


class _Estimate(ref[Message]):
    """A message's estimate, which goes when the message does: its identity is another's from then on."""

    __slots__ = ("key", "tokens")

    key: tuple[int, int]
    tokens: int


_known: dict[tuple[int, int], _Estimate] = {}


def estimate_text(text: str, provider: str) -> int:
    """Tokens of a text, rounded up: one for every 3.3 characters for Claude, for every 4 elsewhere."""
    return -(-len(text) * 10 // _density(provider))


def characters_in(tokens: int, provider: str) -> int:
    """The longest text that is estimated at no more than so many tokens, in characters."""
    return max(0, tokens) * _density(provider) // 10


def _density(provider: str) -> int:
    return _CLAUDE if provider == "anthropic" else _OTHERS


def estimate_message(message: Message, provider: str) -> int:
    """Tokens of a message, with the few that its role takes."""
    key = (id(message), _density(provider))
    found = _known.get(key)
    if found is not None:
        return found.tokens
    estimate = _Estimate(message, _forget)
    estimate.key = key
    estimate.tokens = MESSAGE_TOKENS + sum(_block(block, provider) for block in message.content)
    _known[key] = estimate
    return estimate.tokens


def _forget(gone: ref[Message]) -> None:
    if isinstance(gone, _Estimate):
        _known.pop(gone.key, None)


def _block(block: TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock | ImageBlock, provider: str) -> int:
    match block:
        case TextBlock():
            return estimate_text(block.text, provider)
        case ThinkingBlock():
            # Opaque thinking has no text; what is sent back is its payload.
            return estimate_text(block.thinking or block.signature or "", provider)
        case ToolUseBlock():
            return estimate_text(block.name + str(block.input), provider)
        case ImageBlock():
            return IMAGE_TOKENS
        case ToolResultBlock():
            if isinstance(block.content, str):
                return estimate_text(block.content, provider)
            return sum(_block(part, provider) for part in block.content)
