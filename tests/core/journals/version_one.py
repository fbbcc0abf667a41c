"""A journal as version 1 of this program left it: its tables, and what stood in them.

The rule here: these are the words of that version and are never brought up to date.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from agent_core.config import SessionConfig
from agent_core.entries import Configured, Opened, Settings, encode
from agent_core.tools.definition import ToolDefinition, ToolReference
from tests.core.journals.making import OPENED, said

CODE, LATER_CODE, ORPHAN = b"code of a tool", b"code of a later tool", b"nobody's"
LONG = "x" * 300_000

TABLES = """
CREATE TABLE meta (key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (key));
CREATE TABLE sessions (id TEXT NOT NULL, epoch BIGINT NOT NULL, owner TEXT NOT NULL, last_seq BIGINT NOT NULL,
    created_at FLOAT NOT NULL, updated_at FLOAT NOT NULL, labels TEXT NOT NULL, PRIMARY KEY (id));
CREATE INDEX sessions_by_age ON sessions (created_at, id);
CREATE TABLE entries (session TEXT NOT NULL, seq BIGINT NOT NULL, epoch BIGINT NOT NULL, at FLOAT NOT NULL,
    kind TEXT NOT NULL, body BYTES, blob TEXT, PRIMARY KEY (session, seq));
CREATE INDEX entries_by_blob ON entries (blob) WHERE blob IS NOT NULL;
CREATE TABLE blobs (hash TEXT NOT NULL, bytes BYTES NOT NULL, PRIMARY KEY (hash))
"""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _tool(name: str, code: bytes) -> ToolDefinition:
    return ToolDefinition(name=name, description="A tool.", reference=ToolReference(pickled=digest(code)))


def lay_out(execute: Callable[[str, tuple[Any, ...]], object], bytes_type: str) -> None:
    """Make the tables and fill them; a statement has a question mark for each value."""
    for statement in TABLES.replace("BYTES", bytes_type).split(";"):
        execute(statement, ())
    long = encode(said(LONG))
    opened = Opened(config=SessionConfig(model="local/smollm2"), tools=(_tool("a", CODE),), labels={"odd '": "ü"})
    configured = Configured(changes=Settings(tools=(_tool("b", LATER_CODE),)))
    execute("INSERT INTO meta VALUES (?, ?)", ("schema", "1"))
    for data in (CODE, LATER_CODE, ORPHAN, long):
        execute("INSERT INTO blobs VALUES (?, ?)", (digest(data), data))
    sessions = {"plain": (OPENED, said("hello")), "tooled": (opened, configured), "claimed": ()}
    for session, entries in sessions.items():
        labels = json.dumps(entries[0].labels) if entries else "{}"
        last = len(entries) + (session == "plain")
        execute("INSERT INTO sessions VALUES (?, 3, 'old', ?, 1.0, 2.0, ?)", (session, last, labels))
        for seq, entry in enumerate(entries, start=1):
            row = (session, seq, entry.kind, encode(entry))
            execute("INSERT INTO entries VALUES (?, ?, 3, 1.0, ?, ?, NULL)", row)
    execute("INSERT INTO entries VALUES ('plain', 3, 3, 1.0, 'accepted', NULL, ?)", (digest(long),))
