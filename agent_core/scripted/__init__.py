"""A scripted model that speaks the providers' wires: what answers in tests, simulations and measurements.

Four steps carry it. A request is *validated* as the provider would (`validate_*.py`), *parsed* into what the three
wires share (`request.py`), *decided* by a script's rules or by a callable (`brain.py`), *composed* and *rendered* for
its wire (`render_*.py`). A request for a summary of a conversation gets one (`summaries.py`, `notes.py`). `engine.py`
joins them without I/O; `server.py` puts HTTP around it, `process.py` a process of its own. Importing this package
brings the model without HTTP.
"""

from agent_core.scripted.brain import Brain, default_brain
from agent_core.scripted.engine import Answer, Engine
from agent_core.scripted.knobs import Fault, FaultKind, Knobs, SpoilKind, SummaryKnobs
from agent_core.scripted.request import ParsedRequest, ToolResult
from agent_core.scripted.script import (
    HttpError,
    Match,
    ModelLimits,
    Reply,
    Rule,
    Script,
    StopReason,
    ToolCall,
    UsageOverride,
)
from agent_core.scripted.signing import Mint, Signer
from agent_core.scripted.validate_anthropic import validate_anthropic, validate_count_tokens
from agent_core.scripted.validate_chat import validate_chat
from agent_core.scripted.validate_responses import validate_responses
from agent_core.scripted.wire import Wire, WireError

__all__ = [
    "Answer",
    "Brain",
    "Engine",
    "Fault",
    "FaultKind",
    "HttpError",
    "Knobs",
    "Match",
    "Mint",
    "ModelLimits",
    "ParsedRequest",
    "Reply",
    "Rule",
    "Script",
    "Signer",
    "SpoilKind",
    "StopReason",
    "SummaryKnobs",
    "ToolCall",
    "ToolResult",
    "UsageOverride",
    "Wire",
    "WireError",
    "default_brain",
    "validate_anthropic",
    "validate_chat",
    "validate_count_tokens",
    "validate_responses",
]
