"""Where a journal on PostgreSQL is: an address that may be kept and shown, and the secret that it stands for.

The rule here: an address holds no password. It is a DSN without one, or a reference to a DSN that may hold one
(`env:NAME`, `file:PATH`) and is resolved in the process that connects. No error repeats what may be a secret: a part of
a text that could not be understood, least of all.

The form of a DSN: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl

from agent_core.errors import ConfigError

SCHEMES = ("postgresql://", "postgres://")
EXAMPLE = "postgresql://user@host:5432/database"
_REFERENCE = re.compile(r"(env|file):(\S.*)")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]*\]|[^\s:@\[\]]*)(:\d{1,5})?")
_SECRET_PARAMETERS = frozenset({"password", "sslpassword"})
_PARAMETER = re.compile(r"[a-z_]+")


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A DSN without a password, or a reference to one. `text` is what the user gave; a file's path is absolute."""

    text: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Raises ConfigError for what is neither, and for a DSN with a password in it, which it does not repeat."""
        if reference := _REFERENCE.fullmatch(text):
            kind, name = reference.groups()
            # A worker of a cluster has another current directory; `~` is its user's own on every machine.
            return cls(text if kind == "env" or name.startswith("~") else f"file:{Path(name).absolute()}")
        if wrong := _wrong_with(text):
            raise ConfigError(f"journal: {wrong}. Give a DSN such as {EXAMPLE}, or env:NAME or file:PATH of one.")
        if _has_secret(text):
            raise ConfigError(
                "journal: a DSN with a password in it is refused, for settings can be read by everyone on a cluster."
                " Leave the password out and give it by PGPASSWORD or a .pgpass file, or put the whole DSN into a"
                " variable or a file and name that: env:NAME or file:PATH.",
                "literal_password",
            )
        return cls(text)

    def __str__(self) -> str:
        return self.text

    def resolve(self) -> str:
        """The DSN itself, a secret. Raises ConfigError if the variable or the file does not hold one."""
        reference = _REFERENCE.fullmatch(self.text)
        if reference is None:
            return self.text
        kind, name = reference.groups()
        found = os.environ.get(name, "").strip() if kind == "env" else _read(name)
        what = f"the environment variable {name}" if kind == "env" else f"the file {name}"
        if not found:
            where = " in the process that connects (on a cluster: on every node)" if kind == "env" else ""
            raise ConfigError(f"journal: {what} is not set or empty. Put a DSN such as {EXAMPLE} into it{where}.")
        if wrong := _wrong_with(found):
            raise ConfigError(
                f"journal: {what} holds no DSN: {wrong}. Put one such as postgresql://user:password@host/database into"
                " it, with characters such as @ : / ? # % of the password percent-encoded."
            )
        return found


def _read(name: str) -> str:
    try:
        return Path(name).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(
            f"journal: the file {name} cannot be read ({reason}). Check the path and its permissions; on a cluster it"
            " has to be on every node."
        ) from None


def _parts(text: str) -> tuple[str, str, str]:
    """What stands before the first slash, between that and the question mark, and after it; without the scheme."""
    rest, _, query = text.partition("://")[2].partition("?")
    authority, _, path = rest.partition("/")
    return authority, path, query


def _wrong_with(text: str) -> str | None:
    """What keeps the text from being a DSN, in words that hold nothing of it.

    Stricter than the client library, which takes the rest of a password for a host or a database and says so.
    """
    if not text.startswith(SCHEMES):
        return "that is not the address of a PostgreSQL database"
    authority, path, query = _parts(text)
    if authority.count("@") > 1 or "@" in path or re.search(r"\s", text):
        return "its user, password or database has a character in it that has to be percent-encoded"
    hosts = authority.rpartition("@")[2].split(",")
    if not all(_HOST.fullmatch(host) for host in hosts):
        return "its host or port is none"
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        return "what follows its question mark is not of the form name=value"
    if not all(_PARAMETER.fullmatch(name) for name, _ in pairs):
        return "what follows its question mark has a name that is none"
    return None


def _has_secret(text: str) -> bool:
    authority, _, query = _parts(text)
    user, at, _ = authority.rpartition("@")
    return bool(at and ":" in user) or any(name in _SECRET_PARAMETERS for name, _ in parse_qsl(query))
