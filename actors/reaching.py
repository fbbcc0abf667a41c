"""Where the cluster is: the address that a program was given or finds, looked at before Ray itself goes there.

The rule here: Ray waits a minute for what never answers and then ends the whole process without a word, so nothing is
handed to it that has not answered as the head of a cluster.
"""

import asyncio
import importlib
import os
from typing import Any

import psutil
from ray.exceptions import AuthenticationError

from agent_core.errors import ConfigError, PlacementError

ADDRESS_VARIABLE = "RAY_ADDRESS"
MODE_VARIABLE = "RAY_AUTH_MODE"
LARGEST_PORT = 65_535
_TIMEOUT = 5.0
# A method of Ray's own service `NodeInfoGcsService`; any head knows it, and no other server does.
_METHOD = "/ray.rpc.NodeInfoGcsService/CheckAlive"
# How gRPC tells what speaks it not at all, or knows no such method, or never answers.
_NO_HEAD = {"UNAVAILABLE", "UNIMPLEMENTED", "DEADLINE_EXCEEDED"}
_NO_ANSWER = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
# By itself gRPC tries to connect again less and less often, up to every two minutes.
_CHANNEL = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


async def resolve(address: str | None) -> str:
    """`host:port` of the cluster that is meant and answers there, or `local` where one is to be started.

    `address` is None (RAY_ADDRESS, else one that runs here, else `local`), `auto` (must be found), `local` or
    `host:port`. Raises ConfigError for an address of no known form, PlacementError if no head answers there.
    """
    from_environment = not address
    wanted = address or os.environ.get(ADDRESS_VARIABLE)
    if not wanted:
        return await _found() or "local"
    check_form(wanted, ADDRESS_VARIABLE if from_environment else "address")
    if wanted == "local":
        return wanted
    if wanted == "auto":
        if (found := await _found()) is None:
            raise PlacementError(
                "No Ray cluster runs on this machine. Start one (`ray start --head`), give its address (host:6379), or"
                " leave --address out to start a local cluster.",
                "unreachable",
            )
        return found
    advice = f"unset {ADDRESS_VARIABLE}" if from_environment else "leave --address out"
    if await asyncio.to_thread(_is_here, wanted):
        await _check_connection(wanted, f"{advice} to start a local cluster")
        _show_own_token()
    await _check_head(wanted, f"{advice} to start a local cluster")
    return wanted


def check_form(address: str, where: str) -> None:
    """Raise ConfigError for an address that cannot be one of a cluster; `where` it was given is said."""
    if address in ("auto", "local"):
        return
    if address.startswith("ray://"):
        raise ConfigError(
            f"{where}: '{address}' is a Ray Client address, over which streams do not travel. Run the program on the"
            " cluster (`ray job submit --working-dir . -- python -m ...`) or give the head's address, host:6379."
        )
    host, colon, port = address.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() else 0
    if "/" in address or not (host and colon and 0 < number <= LARGEST_PORT):
        raise ConfigError(
            f"{where}: '{address}' is no address of a cluster. Give host:port (usually host:6379), auto or local."
        )


async def _found() -> str | None:
    """The address of the cluster that `ray start` has left on this machine, if it answers.

    A cluster that another program started for itself is not looked for: it ends with that program.
    """
    address: str | None = importlib.import_module("ray._private.utils").read_ray_address()
    if address is None:
        return None
    try:
        await _check_connection(address, "")
    except PlacementError:
        return None
    _show_own_token()
    await _check_head(address, "give --address local to start a cluster of its own")
    return address


def _show_own_token() -> None:
    """Send this machine's token, if it has one, as Ray does for a cluster that it finds here.

    It goes to heads on this machine and to no other, unless RAY_AUTH_MODE says so.
    """
    setup = importlib.import_module("ray._private.authentication.authentication_token_setup")
    setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _is_here(address: str) -> bool:
    """Whether the host of `host:port` is this machine, said as an address of its own or as `localhost`."""
    host = address.rpartition(":")[0].strip("[]")
    own = {each.address.partition("%")[0] for addresses in psutil.net_if_addrs().values() for each in addresses}
    return host == "localhost" or host in own


async def _check_head(address: str, otherwise: str) -> None:
    """Raise PlacementError unless the head of a cluster answers there and takes the token that Ray will send."""
    await _check_connection(address, otherwise)
    grpc: Any = importlib.import_module("grpc")
    try:
        async with importlib.import_module("ray._private.gcs_utils").create_gcs_channel(address, aio=True) as channel:
            await channel.unary_unary(_METHOD)(b"", timeout=_TIMEOUT)
    except AuthenticationError:
        raise no_token(address) from None
    except grpc.aio.AioRpcError as error:
        if error.code().name == "UNAUTHENTICATED":
            raise no_token(address) from None
        if error.code().name in _NO_HEAD:
            raise PlacementError(
                f"What answers at {address} is not the head of a Ray cluster. Give the address that `ray start --head`"
                f" printed (usually host:6379; 8265 is its dashboard, 10001 its client server), or {otherwise}.",
                "unreachable",
            ) from None


def channel_to(address: str) -> Any:
    """A channel to the head at `address`, to be kept: an async context manager."""
    grpc_utils: Any = importlib.import_module("ray._private.grpc_utils")
    return grpc_utils.init_grpc_channel(address, options=_CHANNEL, asynchronous=True)


async def is_alive(channel: Any, patience: float) -> bool:
    """Whether the head answers within so many seconds, whatever it says."""
    grpc: Any = importlib.import_module("grpc")
    try:
        await channel.unary_unary(_METHOD)(b"", timeout=patience)
    except grpc.aio.AioRpcError as error:
        return error.code().name not in _NO_ANSWER
    except AuthenticationError:
        pass
    return True


async def _check_connection(address: str, otherwise: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_TIMEOUT):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
    except (OSError, TimeoutError) as error:
        raise PlacementError(
            f"No Ray cluster can be reached at {address} ({_reason(error)}). Check the address and that the head runs"
            f" (`ray status --address {address}`), or {otherwise}.",
            "unreachable",
        ) from None


def _reason(error: OSError | TimeoutError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    return "no answer" if isinstance(error, TimeoutError) else (error.strerror or type(error).__name__)


def no_token(address: str) -> PlacementError:
    """What is said when a cluster does not let this program in."""
    return PlacementError(
        f"The cluster at {address} wants its token, and this program shows none or another. Set"
        f" {MODE_VARIABLE}=token and put the cluster's token into ~/.ray/auth_token or RAY_AUTH_TOKEN (on the head,"
        " `ray get-auth-token` prints it).",
        "token",
    )
