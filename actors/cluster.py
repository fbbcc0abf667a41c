"""The cluster: found, joined or started, and what is said about it.

The rule here: Ray's own words never reach a user. Whatever keeps a program from its cluster is one PlacementError or
ConfigError that says what to do; Ray's log lines stay in Ray's log files.
"""

import asyncio
import importlib
import logging
import os
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from actors.reaching import no_token, resolve
from actors.temporary import check_room, temporary_directory
from agent_core.errors import PlacementError, RayconteurError

ROOT = Path(__file__).resolve().parent.parent
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """The cluster that this process is on. `started` says that it was started here and ends with this process."""

    address: str
    started: bool
    ours: bool
    node_id: str
    dashboard_url: str | None

    @property
    def description(self) -> str:
        """One line that says where sessions run."""
        return (
            f"started a local Ray cluster ({self.address})"
            if self.started
            else f"joined the Ray cluster at {self.address}"
        )

    @property
    def dashboard_hint(self) -> str:
        """Where to look, and how to get in."""
        if self.dashboard_url is None:
            return "The Ray dashboard is off."
        return f"Ray dashboard: {self.dashboard_url} (its token: `ray get-auth-token`)"


async def connect(address: str | None, namespace: str, *, dashboard: bool, ships: bool = True) -> ClusterInfo:
    """Join the cluster at `address`, else one that runs here, else start one.

    `address` is None, `auto` (must be found), `local` (must be started) or `host:port`. Unless it `ships` the code,
    this program can start no actor on a cluster that it joins. Raises PlacementError if it cannot be reached or
    refuses, ConfigError for an address of no known form.
    """
    if ray.is_initialized():
        return _info(started=False, ours=False)
    be_quiet()
    wanted = await resolve(address)
    return await _to_the_end(asyncio.to_thread(_connect, wanted, namespace, dashboard, ships))


async def _to_the_end(connecting: Coroutine[Any, Any, ClusterInfo]) -> ClusterInfo:
    """Wait for the thread even when cancelled: a cluster that was half started would be left behind."""
    task = asyncio.ensure_future(connecting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(PlacementError):
            disconnect(await task)
        raise


def disconnect(cluster: ClusterInfo) -> None:
    """Leave the cluster; one that was started here ends."""
    if cluster.ours and ray.is_initialized():
        ray.shutdown()


def _connect(wanted: str, namespace: str, dashboard: bool, ships: bool) -> ClusterInfo:  # noqa: FBT001 - for a thread
    try:
        return _start(namespace, dashboard) if wanted == "local" else _join(wanted, namespace, ships)
    except RayconteurError:
        raise
    except Exception as error:  # Ray raises whatever it likes, bare `Exception` too
        raise _explained(wanted, error) from error


def _join(address: str, namespace: str, ships: bool) -> ClusterInfo:  # noqa: FBT001 - for a thread
    ray.init(address=address, namespace=namespace, runtime_env=_shipped() if ships else None, **_QUIET)
    return _info(started=False, ours=True)


def _start(namespace: str, dashboard: bool) -> ClusterInfo:  # noqa: FBT001 - for a thread
    check_room()
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    previous = os.environ.get("PYTHONPATH")
    # Workers of a local cluster inherit it: they find the same code wherever the program was started.
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    try:
        ray.init(address="local", namespace=namespace, include_dashboard=dashboard, **_QUIET)
    finally:
        if previous is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = previous
    return _info(started=True, ours=True)


_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}


def _shipped() -> dict[str, Any] | None:
    """The code goes along, unless the job that this program runs in brought it already."""
    return None if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ else {"working_dir": str(ROOT)}


def be_quiet() -> None:
    """Keep what Ray and its daemons say off this process's terminal."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # What Ray's daemons report is printed on a driver's terminal whatever `log_to_driver` says. Their logs have it too.
    _worker().print_to_stdstream = lambda *_, **__: None


def _worker() -> Any:
    return importlib.import_module("ray._private.worker")


def _info(*, started: bool, ours: bool) -> ClusterInfo:
    context = ray.get_runtime_context()
    # The dashboard's address has no public name.
    worker = _worker().global_worker
    url = worker.node.address_info.get("webui_url") if worker.node else None
    return ClusterInfo(
        address=context.gcs_address,
        started=started,
        ours=ours,
        node_id=context.get_node_id(),
        dashboard_url=f"http://{url}" if url else None,
    )


def _explained(address: str, error: Exception) -> PlacementError:
    text = str(error)
    if any(isinstance(cause, AuthenticationError) for cause in _causes(error)):
        return no_token(address)
    if "ersion mismatch" in text:
        # Ray tells of the cluster first, then of this process.
        found = [line.strip().replace(":", "") for line in text.splitlines() if "Ray:" in line or "Python:" in line]
        theirs, ours = ", ".join(found[: len(found) // 2]), ", ".join(found[len(found) // 2 :])
        return PlacementError(
            f"The cluster at {address} runs other versions ({theirs}) than this program ({ours}). Install the"
            " cluster's versions here, or this program's on the cluster.",
            "version_mismatch",
        )
    if isinstance(error, OSError) and error.errno is not None:
        where = str(error.filename or temporary_directory())
        mend = (
            "Ray keeps its token there: make it writable, or set RAY_AUTH_TOKEN to a long secret word"
            if "/.ray" in where
            else "Free space or make it writable, or say another place with RAY_TMPDIR"
        )
        return PlacementError(f"A local Ray cluster cannot be started: {where}: {error.strerror}. {mend}.", "no_start")
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    if address == "local":
        return PlacementError(
            f"A local Ray cluster cannot be started: {first[:_LONGEST_REASON]} Ray's log files are in"
            f" {temporary_directory()}/session_latest/logs; --debug shows all of it.",
            "no_start",
        )
    return PlacementError(f"The Ray cluster ({address}) cannot be used: {first}", "unreachable")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on: Ray wraps a refused token in a failed connection."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
