"""A directory in a store that is no file system of this machine: `s3://`, `gs://`, `abfs://` and what pyarrow knows.

The rule here: a file is there whole or not at all. Keys are never part of an address: the store's own library finds
them, as its other programs do (for S3 in the environment, in `~/.aws`, or from the machine's role).
"""

import hashlib
import importlib
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from agent_core.errors import ConfigError

UNREACHABLE = "unreachable"
CHUNK = 1024 * 1024
LONGEST_REASON = 300
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SECRETS = frozenset({"account_key", "sas_token", "secret_key", "access_key", "session_token"})


def is_url(out: str) -> bool:
    """Whether this names a place by its address."""
    return _URL.match(out) is not None


def copy_of(url: str) -> Path:
    """Where this machine keeps its copy of what is at the address."""
    import platformdirs

    plain = plain_url(url)
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", plain.partition("://")[2])[-60:].strip("-.")
    return (
        platformdirs.user_data_path("rayconteur") / "runs" / f"{name}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"
    )


def plain_url(url: str) -> str:
    """The address without what follows its path: how the store is reached is no part of the place."""
    return url.partition("?")[0].rstrip("/")


class Remote:
    """The files in the directory at `url`. Everything raises ConfigError of the kind `unreachable` if it is not."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError for an address of no known form, or with a key in it."""
        parts = urlsplit(url)
        if parts.password is not None or _SECRETS & parse_qs(parts.query).keys():
            raise ConfigError(
                "--out: an address holds no keys, since it is kept in the run's record. Put them where the store's own"
                " programs look for them (for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws or a role)."
            )
        if Path(parts.path).name in {"results.jsonl", "run.json"}:
            raise ConfigError(f"{plain_url(url)}: name the directory that it is in.")
        self.url = plain_url(url)
        self._full = url
        self._opened: tuple[Any, str] | None = None

    def sizes(self) -> dict[str, int]:
        """The files that are there, by name, with their bytes."""
        with self._reached():
            files, base = self._files()
            fs = importlib.import_module("pyarrow.fs")
            found = files.get_file_info(fs.FileSelector(base, allow_not_found=True))
            return {one.base_name: one.size for one in found if one.type == fs.FileType.File}

    def read(self, name: str) -> bytes | None:
        """What the file holds; None if it is not there."""
        with self._reached():
            files, base = self._files()
            try:
                with files.open_input_stream(f"{base}/{name}") as source:
                    return source.read()
            except FileNotFoundError:
                return None

    def fetch(self, name: str, target: Path) -> None:
        """Copy the file to `target`, which appears when it is whole."""
        beginning = target.with_name(f".{target.name}.new")
        with self._reached():
            files, base = self._files()
            with files.open_input_stream(f"{base}/{name}") as source, beginning.open("wb") as file:
                while chunk := source.read(CHUNK):
                    file.write(chunk)
        beginning.replace(target)

    def put(self, name: str, source: Path) -> None:
        """Put a copy of the file as it is now in place of what is there; what is appended meanwhile is left out."""
        left = source.stat().st_size
        with self._reached(), source.open("rb") as file, self._writing(name) as target:
            while left > 0 and (chunk := file.read(min(left, CHUNK))):
                target.write(chunk)
                left -= len(chunk)

    def write(self, name: str, content: bytes) -> None:
        """Put this in place of what is there."""
        with self._reached(), self._writing(name) as target:
            target.write(content)

    def delete(self, name: str) -> None:
        """Take the file away, if it is there."""
        files, base = self._files()
        with self._reached():
            try:
                files.delete_file(f"{base}/{name}")
            except FileNotFoundError:
                return

    @contextmanager
    def _writing(self, name: str) -> Generator[Any]:
        files, base = self._files()
        if files.type_name in _OBJECT_STORES:
            with files.open_output_stream(f"{base}/{name}") as target:
                yield target
            return
        # Elsewhere a file is seen while it is written.
        files.create_dir(base)
        with files.open_output_stream(f"{base}/.{name}.new") as target:
            yield target
        files.move(f"{base}/.{name}.new", f"{base}/{name}")

    def _files(self) -> tuple[Any, str]:
        if self._opened is None:
            fs = importlib.import_module("pyarrow.fs")
            try:
                files, base = fs.FileSystem.from_uri(self._full)
            except (ValueError, ImportError, TypeError, NotImplementedError) as error:
                raise ConfigError(
                    f"{self.url} is no address that results can be kept at ({_reason(error)}). Name a directory, or an"
                    " address such as s3://BUCKET/DIR."
                ) from None
            self._opened = files, base.rstrip("/")
        return self._opened

    @contextmanager
    def _reached(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            if error.filename is not None:
                raise
            raise ConfigError(
                f"{self.url} cannot be reached: {_reason(error)}. Check the address, the network and the keys of the"
                " store.",
                UNREACHABLE,
            ) from None


# An object appears there when its last part has come.
_OBJECT_STORES = frozenset({"s3", "gcs", "abfs"})


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(". ")
    return text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + "…"
