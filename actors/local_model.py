"""The local model's actor: one server of `local/smollm2` for all sessions of a runtime, whatever node they are on.

The rule here: the server belongs to the actor and ends with it. It is started when its address is first asked for, and
whoever gets the address gets one that has just answered; so it is asked for anew before each use and never kept.
"""

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError
from ray.util import get_node_ip_address

from actors.logs import log_lines
from actors.settings import LOCAL_MODEL_NAME, RuntimeSettings
from actors.tethers import hold_on, hold_on_again
from agent_core.errors import PlacementError, RayconteurError
from agent_core.local_model import MODEL_NAME, LocalModelOptions, LocalModelServer

_DEADLINE = 120.0
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class LocalModelPlace:
    """Where the server is, for people and for tests. `pid` is the server's, `actor_pid` its owner's."""

    url: str
    node_id: str
    pid: int | None
    actor_pid: int


class LocalModelActor:
    """Owns one `LocalModelServer`, listening where other nodes reach it. With a `tether` it ends with its runtime."""

    def __init__(self, options: LocalModelOptions | None = None, tether: RuntimeSettings | None = None) -> None:
        self._options = options or LocalModelOptions(host=get_node_ip_address())
        self._tether = tether
        self._held: asyncio.Task[None] | None = None
        self._server: LocalModelServer | None = None
        self._starting = asyncio.Lock()
        log_lines(tether)
        hold_on_again(tether, "tie")

    def __repr__(self) -> str:
        return f"LocalModel({MODEL_NAME})"

    async def tie(self) -> None:
        """End with the runtime from now on, if this actor has a tether."""
        if self._tether is not None and self._held is None:
            self._held = asyncio.create_task(hold_on(self._tether))

    async def base_url(self) -> str:
        """The base URL for either SDK, once the server answers there.

        Raises ConfigError if the model is not installed on this node, PlacementError if it does not start.
        """
        await self.tie()
        async with self._starting:
            if self._server is None:
                server = LocalModelServer(self._options)
                await server.__aenter__()
                self._server = server
        return await self._server.ready()

    async def place(self) -> LocalModelPlace:
        """Where everything is. Raises as `base_url` does."""
        url = await self.base_url()
        pid = self._server.pid if self._server else None
        return LocalModelPlace(url, ray.get_runtime_context().get_node_id(), pid, os.getpid())


# Asking twice does no harm.
LOCAL_MODEL = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(LocalModelActor)


class LocalModelHandle:
    """The local model of a namespace: its actor is made by whoever asks first, and made again if it is gone.

    `options` are for a new actor; by default it listens on its node's address. A `tethered` one ends with its runtime.
    """

    def __init__(
        self,
        name: str = LOCAL_MODEL_NAME,
        namespace: str = "",
        options: LocalModelOptions | None = None,
        *,
        tethered: bool = True,
    ) -> None:
        self.name = name
        """The actor's name."""
        self.namespace, self._options = namespace, options
        self._tether = RuntimeSettings(namespace=namespace, journal_path="") if tethered else None
        self._actor: Any = None

    async def base_url(self) -> str:
        """The base URL for either SDK, once the server answers there; it is started if need be.

        Raises ConfigError if the model is not installed, PlacementError if it does not start or its actor does not
        answer within two minutes.
        """
        return await self._ask("base_url")

    async def place(self) -> LocalModelPlace:
        """Where the server is. Raises as `base_url` does."""
        return await self._ask("place")

    async def close(self) -> None:
        """End the actor and with it the server, for everybody."""
        actor, self._actor = self._actor or await self._find(), None
        await asyncio.to_thread(ray.kill, actor, no_restart=True)

    async def _ask(self, method: str) -> Any:
        until = asyncio.get_running_loop().time() + _DEADLINE
        while True:
            try:
                async with asyncio.timeout_at(until):
                    self._actor = self._actor or await self._find()
                    return await getattr(self._actor, method).remote()
            except RayTaskError as error:
                cause: object = error.cause
                raise (cause if isinstance(cause, RayconteurError) else PlacementError(str(cause))) from None
            except (RayActorError, TimeoutError) as error:
                self._actor = None
                if asyncio.get_running_loop().time() + _PAUSE >= until:
                    raise PlacementError(
                        f"The actor of the local model, '{self.name}', does not answer ({type(error).__name__})."
                        " Look at it in the Ray dashboard; it needs 1 GB of memory on its node.",
                        "local_model",
                    ) from None
            await asyncio.sleep(_PAUSE)

    async def _find(self) -> Any:
        """The actor of that name, made if there is none."""
        chosen: dict[str, Any] = {
            "name": self.name,
            "namespace": self.namespace,
            "lifetime": "detached",
            "get_if_exists": True,
            "enable_task_events": False,
        }
        # Asks the cluster and blocks meanwhile.
        return await asyncio.to_thread(LOCAL_MODEL.options(**chosen).remote, self._options, self._tether)
