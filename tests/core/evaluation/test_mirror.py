"""Results at an address: what was written last is what every machine reads, and nothing that was had is lost."""

import asyncio
from pathlib import Path

import pytest

from agent_core.errors import ConfigError
from agent_core.evaluation.mirror import WRITER_NAME, Mirror, kept_up
from agent_core.evaluation.remote import Remote
from agent_core.evaluation.results_file import Places


class Store:
    """A store, and the copies that machines have of one directory in it."""

    def __init__(self, tmp_path: Path) -> None:
        self.files = tmp_path / "store" / "run"
        self._machines = tmp_path

    def copy(self, machine: str, **times: float) -> Mirror:
        return Mirror(self.files.as_uri(), self._machines / machine, **{"lease": 0.2, "period": 0.01, **times})

    def holds(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.files.iterdir() if path.name != WRITER_NAME}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def wrote(mirror: Mirror, text: str, name: str = "results.jsonl") -> None:
    (mirror.directory / name).write_text(text)


def begun(mirror: Mirror, text: str = "1\n") -> None:
    assert mirror.fetch() is None
    mirror.claim()
    wrote(mirror, text)
    mirror.push()


def test_what_one_machine_wrote_another_reads(store: Store) -> None:
    one, other = store.copy("one"), store.copy("other")
    begun(one)
    wrote(one, "{}", "run.live.json")
    wrote(one, "index", "run.sqlite")
    one.push(last=True)
    assert store.holds() == {"results.jsonl": "1\n", "run.live.json": "{}"}
    assert other.fetch() is None
    assert (other.directory / "results.jsonl").read_text() == "1\n"
    assert not other.changed()
    other.claim()
    (other.directory / "run.live.json").unlink()
    wrote(other, "1\n2\n")
    other.push(last=True)
    assert one.fetch() is None
    assert (one.directory / "results.jsonl").read_text() == "1\n2\n"
    assert not (one.directory / "run.live.json").exists()


def test_a_machine_that_was_killed_before_it_sent_all_goes_on_from_what_it_has(store: Store) -> None:
    begun(store.copy("one"))
    wrote(store.copy("one"), "1\n2\n")
    again = store.copy("one")
    assert again.fetch() is None
    again.claim()
    assert (again.directory / "results.jsonl").read_text() == "1\n2\n"
    again.push(last=True)
    assert store.holds() == {"results.jsonl": "1\n2\n"}


def test_what_a_machine_has_that_another_went_on_without_is_set_aside(store: Store) -> None:
    one, other = store.copy("one"), store.copy("other")
    begun(one)
    wrote(one, "1\n2 here only\n")
    other.fetch()
    # It waits until the one that says nothing any more is taken for gone.
    other.claim()
    wrote(other, "1\n3\n")
    other.push(last=True)
    said = one.fetch()
    assert said is not None
    aside = Path(said.rpartition(" ")[2])
    assert (aside / "results.jsonl").read_text() == "1\n2 here only\n"
    assert (one.directory / "results.jsonl").read_text() == "1\n3\n"


def test_two_that_are_alive_do_not_write_to_one_address(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = store.copy("one"), store.copy("other", lease=60)
    begun(one)
    # Whoever waits sees that the first one goes on.
    monkeypatch.setattr("time.sleep", lambda _: one.push())
    with pytest.raises(ConfigError, match="is being written by a run on"):
        other.claim()
    one.push(last=True)
    other.claim()
    wrote(one, "late")
    with pytest.raises(ConfigError, match=r"writes to .* now. What this one had is kept in"):
        one.push()
    assert store.holds() == {"results.jsonl": "1\n"}


def test_what_was_taken_away_at_the_address_is_sent_again(store: Store) -> None:
    one = store.copy("one")
    begun(one)
    (store.files / "results.jsonl").unlink()
    one.fetch()
    assert one.changed()
    one.push()
    assert store.holds() == {"results.jsonl": "1\n"}


async def test_results_are_sent_as_they_grow_and_trouble_is_told_once(store: Store) -> None:
    one, told = store.copy("one"), asyncio.Queue[ConfigError | OSError | None]()
    begun(one)
    async with kept_up(one, told.put_nowait):
        wrote(one, "1\n2\n")
        async with asyncio.timeout(30):
            while store.holds() != {"results.jsonl": "1\n2\n"}:
                await asyncio.sleep(0.01)
            aside = store.files.rename(store.files.with_name("away"))
            store.files.write_text("no directory")
            wrote(one, "1\n2\n3\n")
            assert await told.get() is not None
            store.files.unlink()
            aside.rename(store.files)
            assert await told.get() is None
    assert told.empty()
    assert store.holds() == {"results.jsonl": "1\n2\n3\n"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://me:secret@bucket/run", "holds no keys"),
        ("abfs://c@account/run?account_key=secret", "holds no keys"),
        ("s3://bucket/run/results.jsonl", "name the directory"),
        ("ftp://host/run", "is no address that results can be kept at"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_without_its_keys(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        Remote(url).sizes()
    assert "secret" not in str(refused.value)


def test_an_address_means_the_copy_that_this_machine_keeps() -> None:
    places = Places.of("s3://bucket/dir/run/?scheme=http")
    assert places.shown() == "s3://bucket/dir/run/results.jsonl"
    assert places.results == Places.of("s3://bucket/dir/run").results
    assert places.results != Places.of("s3://bucket/dir/run2").results
