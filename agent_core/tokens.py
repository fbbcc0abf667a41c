"""Token estimates for what no provider has counted yet.

The rule here: an estimate is cheap and never used where the provider's own count is at hand.
"""

from agent_core.content import ImageBlock, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock
from agent_core.messages import Message

IMAGE_TOKENS = 1_200


def characters_per_token(provider: str) -> float:
    """Characters a token: 3.3 for Claude, 4 elsewhere."""
    return 3.3 if provider == "anthropic" else 4.0


def estimate_text(text: str, provider: str) -> int:
    """Tokens of a text, rounded up."""
    return -int(-len(text) // characters_per_token(provider))


def estimate_message(message: Message, provider: str) -> int:
    """Tokens of a message."""
    return 4 + sum(_block(block, provider) for block in message.content)


def _block(block: TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock | ImageBlock, provider: str) -> int:
    match block:
        case TextBlock():
            return estimate_text(block.text, provider)
        case ThinkingBlock():
            return estimate_text(block.thinking, provider)
        case ToolUseBlock():
            return estimate_text(block.name + str(block.input), provider)
        case ImageBlock():
            return IMAGE_TOKENS
        case ToolResultBlock():
            if isinstance(block.content, str):
                return estimate_text(block.content, provider)
            return sum(_block(part, provider) for part in block.content)
