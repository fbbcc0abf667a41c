"""What is examined: the options that a user would give to `chat`, and what several checks want to know of them.

The rule here: what is found out once is kept for all checks, and nothing is found out before a check wants it.
"""

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from agent_core.errors import ConfigError
from agent_core.journals import JOURNAL_FILE
from drivers.doctoring.checks import Once, blocking
from drivers.doctoring.findings import NotChecked
from drivers.options import ModelOptions, PlaceOptions

if TYPE_CHECKING:
    from actors.examining import Answers, Head
    from agent_core.journals.postgres_examining import PostgresFacts

MOST_NODES = 50
"""So many nodes are asked at most: each of them starts a process for it."""
NODE_PATIENCE = 12.0
PACKAGES = ("ray", "anthropic", "openai", "pydantic", "sqlalchemy", "psycopg", "aiohttp")


class Subject:
    """The options, where the journal is, and the cluster that they mean."""

    def __init__(self, model: ModelOptions, place: PlaceOptions, *, asks_model: bool) -> None:
        self.model, self.place, self.asks_model = model, place, asks_model
        self._cluster: Any = None
        self.address = Once(self._address)
        self.head = Once(self._head)
        self.nodes = Once(self._nodes)
        self.database = Once(self._database)

    @property
    def data_dir(self) -> Path:
        """Where the journal's file is, or would be."""
        return (self.place.data_dir or platformdirs.user_data_path("rayconteur")).expanduser().absolute()

    @property
    def journal_file(self) -> Path:
        """The journal's file. Raises NotChecked if the journal is in a database."""
        if self.place.journal is not None:
            raise NotChecked("the journal is in PostgreSQL")
        return self.data_dir / JOURNAL_FILE

    @property
    def key_variables(self) -> tuple[str, ...]:
        """The environment variables that keys are in, as far as they are known here."""
        from drivers.options import KEY_VARIABLES

        named = [self.model.api_key, self.place.journal]
        own = [text.removeprefix("env:") for text in named if text is not None and text.startswith("env:")]
        return tuple(dict.fromkeys([*KEY_VARIABLES.values(), *own]))

    @staticmethod
    async def actors(module: str = "examining") -> Any:
        """A module of `actors`. It takes Ray with it, so it is imported where nobody waits for it."""
        return await blocking(importlib.import_module, f"actors.{module}")

    async def _address(self) -> str:
        """`host:port` of the cluster that is meant, or `local`. Raises PlacementError if no head answers there."""
        if self.place.in_process:
            raise NotChecked("--in-process: no cluster is used")
        examining = await self.actors()
        try:
            found: str = await examining.resolve(self.place.address)
        except ConfigError as error:
            if self.place.address:
                raise
            raise ConfigError(f"${error.message}", error.kind) from None
        if found == "local" and self.place.address == "local":
            return await self._started()
        return found

    async def _started(self) -> str:
        """A cluster of this program's own: asked for, and ended with it."""
        cluster = await self.actors("cluster")
        self._cluster = await cluster.connect("local", "doctor", dashboard=True)
        return self._cluster.address

    async def aclose(self) -> None:
        """End the cluster that was started here, if one was."""
        if self._cluster is not None:
            cluster = await self.actors("cluster")
            await blocking(cluster.disconnect, self._cluster)

    async def _head(self) -> "Head":
        address = await self.address.needed("no head answers there")
        if address == "local":
            raise NotChecked("there is no cluster")
        return await (await self.actors()).look(address)

    async def _nodes(self) -> "Answers":
        head, examining = await self.head.needed("there is no cluster to ask"), await self.actors()
        if head.versions != examining.local_versions():
            raise NotChecked("the cluster has other versions, so it cannot be joined")
        return await examining.ask_nodes(head, head.nodes[:MOST_NODES], PACKAGES, self.key_variables, NODE_PATIENCE)

    async def _database(self) -> "PostgresFacts":
        if self.place.journal is None:
            raise NotChecked("the journal is a file")
        from agent_core.journals.address import PostgresAddress
        from agent_core.journals.postgres_examining import read_facts

        address = PostgresAddress.of(self.place.journal)
        if is_elsewhere(self.place):
            try:
                address.resolve()
            except ConfigError:
                raise NotChecked("its DSN is not on this machine: ask from one of the cluster's") from None
        return await blocking(read_facts, address)


def is_elsewhere(place: PlaceOptions) -> bool:
    """Whether sessions would run on a cluster that was named, so that what they need has to be on its nodes."""
    return not place.in_process and place.address != "local" and bool(place.address or os.environ.get("RAY_ADDRESS"))
