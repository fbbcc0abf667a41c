"""`python -m agent_core.local_model`: serve `local/smollm2` until whoever started this is gone.

The rule here: the first line on standard output is the address, written once the model answers; nothing else is written
there. With a pipe as standard input the program ends when that is closed, so it can never outlive its parent.
"""

import argparse
import os
import stat
import sys
import threading
from collections.abc import Sequence

from agent_core.errors import ConfigError
from agent_core.local_model.options import CONTEXT_WINDOW, LocalModelOptions
from agent_core.local_model.serving import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Returns its exit code: 2 for a user's mistake, 1 if llama.cpp refuses, 130 for Ctrl-C."""
    try:
        served = serve(_options(arguments))
        sys.stdout.write(f"{served.address}\n")
        sys.stdout.flush()
        _wait_for_the_end()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except RuntimeError as error:
        sys.stderr.write(f"llama.cpp could not serve the model: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _options(arguments: Sequence[str] | None) -> LocalModelOptions:
    parser = argparse.ArgumentParser(prog="python -m agent_core.local_model", description="Serve local/smollm2.")
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on; 0 is any free one (0)")
    parser.add_argument("--slots", type=int, help="requests that are answered at once (4)")
    parser.add_argument("--context", type=int, help=f"tokens for prompt and answer of each ({CONTEXT_WINDOW})")
    parser.add_argument("--threads", type=int, help="threads that compute (one fewer than the cores, 8 at most)")
    given = vars(parser.parse_args(arguments))
    return LocalModelOptions.of(**{name: value for name, value in given.items() if value is not None})


def _wait_for_the_end() -> None:
    mode = os.fstat(sys.stdin.fileno()).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        sys.stdin.buffer.read()
    else:
        threading.Event().wait()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # llama.cpp's threads are still running, and nothing of theirs needs to be saved.
    os._exit(code)
