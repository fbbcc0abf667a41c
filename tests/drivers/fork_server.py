"""Runs in a process of its own that has imported what the programs import, and forks it for each that is wanted.

The rule here: a fork is as `python -m` would have made it, with its own streams, environment and directory; whatever
the programs' own modules are is loaded in it and not before.
"""

import gc
import io
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
from importlib import import_module
from types import ModuleType
from typing import Any, BinaryIO, TextIO, cast

PACKAGES = ("agent_core", "drivers.chatting", "drivers.evaluating", "drivers.listing")
PROGRAMS_OWN = ("errors", "options", "compaction_options")
LARGEST_REQUEST = 1 << 20


def main() -> None:
    """Serve the socket whose descriptor is the last argument, until its other end is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    paths = sys.path[1:]
    _import_all()
    # What is shared with the forks stays shared where their collector does not touch it.
    gc.freeze()
    request = _serve(control)
    if request is not None:
        _become(request, paths)


def _import_all() -> None:
    for package in PACKAGES:
        for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            if not found.name.endswith("__main__"):
                import_module(found.name)
    for name in PROGRAMS_OWN:
        import_module(f"drivers.{name}")


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork until nobody wants more; returns what is to be run in a fork, and nothing in this process."""
    control.send(b"ready")
    reports: dict[int, socket.socket] = {}
    awake, wake = socket.socketpair()
    wake.setblocking(False)
    awake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(awake, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if awake in ready:
                awake.recv(4096)
                _report_ended(reports)
            if control not in ready:
                continue
            data, descriptors, _, _ = socket.recv_fds(control, LARGEST_REQUEST, 4)
            if not data:
                return None
            pid = os.fork()
            if pid == 0:
                break
            *streams, report = descriptors
            for descriptor in streams:
                os.close(descriptor)
            reports[pid] = socket.socket(fileno=report)
            reports[pid].send(b"%d\n" % pid)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for closed in (control, awake, wake, *reports.values()):
        closed.close()
    return {**json.loads(data), "descriptors": descriptors}


def _report_ended(reports: dict[int, socket.socket]) -> None:
    while reports:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        with reports.pop(pid) as report:
            report.send(b"%d\n" % os.waitstatus_to_exitcode(status))


def _become(request: dict[str, Any], paths: list[str]) -> None:
    """Run the module, in what is otherwise as a new process is."""
    if request["new_session"]:
        os.setsid()
    *streams, report = request["descriptors"]
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.close(report)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    _open_streams()
    extra = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [request["cwd"], *extra, *paths]
    sys.path_importer_cache.clear()
    module, *arguments = request["arguments"]
    sys.argv[:] = ["-m", *arguments]
    sys.modules["__main__"] = ModuleType("__main__")
    runpy._run_module_as_main(module)  # type: ignore[attr-defined]


def _open_streams() -> None:
    """The three streams of Python, as the interpreter opens them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        before: TextIO = getattr(sys, name)
        binary = cast("BinaryIO", open(before.fileno(), f"{mode}b", closefd=False))  # noqa: SIM115
        stream = io.TextIOWrapper(
            binary, before.encoding, before.errors, "\n", line_buffering=name == "stderr" or binary.isatty()
        )
        stream.mode = mode  # type: ignore[misc]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    main()
