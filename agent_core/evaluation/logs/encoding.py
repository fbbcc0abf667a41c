"""JSON as logs have it.

The rule here: it is quick, and there is no value that makes it fail.
"""

import json
from typing import Any

from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python


def as_json(value: Any) -> bytes:
    """The value as JSON, not-a-number as `NaN`. Half of a surrogate pair is no text and becomes a question mark."""
    try:
        return to_json(value, inf_nan_mode="constants")
    except PydanticSerializationError:
        return json.dumps(value, ensure_ascii=False, default=to_jsonable_python).encode("utf-8", "replace")
