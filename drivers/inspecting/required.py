"""Whether Inspect is there, and is one that is known here.

The rule here: a user without it, or with one that has changed, is told what to install and sees no traceback.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version

from agent_core.errors import ConfigError

KNOWN = "0.3.285"
INSTALL = "Install it with: pip install -e '.[inspect]'"


def require_inspect() -> str:
    """The version of Inspect. Raises ConfigError if it is missing, or so different that its tasks cannot be run."""
    try:
        found = version("inspect_ai")
    except PackageNotFoundError:
        raise ConfigError(f"Inspect tasks need the package inspect_ai, which is not installed. {INSTALL}") from None
    try:
        importlib.import_module("drivers.inspecting.inside")
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"Inspect {found} is not known here ({error}); {KNOWN} is. {INSTALL}, or pip install inspect_ai=={KNOWN}"
        ) from error
    return found
