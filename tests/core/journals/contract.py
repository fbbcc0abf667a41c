"""What every journal must do. Each implementation's tests derive from this class and give the fixture `journal`."""

import asyncio

import pytest

from agent_core.entries import decode, encode
from agent_core.errors import Fenced, JournalError, SequenceGap
from agent_core.messages import SessionId
from agent_core.ports import Append, Record, Snapshot
from tests.core.journals.making import CLOSED, OPENED, FullJournal, append, said, told

S = SessionId("s")


class JournalContract:
    @pytest.fixture
    async def journal(self) -> FullJournal:
        raise NotImplementedError

    async def test_first_claim_makes_an_empty_session_of_epoch_one(self, journal: FullJournal) -> None:
        claim = await journal.claim(S, "me")
        assert (claim.session_id, claim.epoch, list(claim.records)) == (S, 1, [])
        assert not await journal.exists(S)

    async def test_appended_records_are_read_back_as_they_were(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        sent = append(S, 1, 1, OPENED, said("grüße \N{WAVING HAND SIGN} \x00"), CLOSED)
        assert await journal.append([sent]) == [None]
        assert list(await journal.read(S)) == list(sent.records)
        assert await journal.exists(S)

    async def test_read_gives_what_follows_a_sequence_number(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED, said("a"), said("b"))])
        assert [record.seq for record in await journal.read(S, after=1)] == [2, 3]
        assert list(await journal.read(S, after=3)) == []
        assert list(await journal.read(SessionId("unknown"))) == []

    async def test_claim_returns_everything_that_happened_and_a_higher_epoch(self, journal: FullJournal) -> None:
        await journal.claim(S, "one")
        sent = append(S, 1, 1, OPENED, said("a"))
        await journal.append([sent])
        claim = await journal.claim(S, "two")
        assert (claim.epoch, list(claim.records)) == (2, list(sent.records))

    async def test_append_of_an_old_owner_is_fenced_and_changes_nothing(self, journal: FullJournal) -> None:
        await journal.claim(S, "old")
        await journal.append([append(S, 1, 1, OPENED)])
        await journal.claim(S, "new")
        [refusal] = await journal.append([append(S, 1, 2, said("late"))])
        assert isinstance(refusal, Fenced)
        assert "open it again" in refusal.message
        assert await told(journal, S) == ["opened"]

    async def test_repeat_by_an_old_owner_is_fenced_though_its_record_is_there(self, journal: FullJournal) -> None:
        await journal.claim(S, "old")
        sent = append(S, 1, 1, OPENED)
        await journal.append([sent])
        await journal.claim(S, "new")
        [refusal] = await journal.append([sent])
        assert isinstance(refusal, Fenced)

    async def test_append_without_a_claim_is_fenced(self, journal: FullJournal) -> None:
        [refusal] = await journal.append([append("nobody's", 1, 1, OPENED)])
        assert isinstance(refusal, Fenced)
        assert not await journal.exists(SessionId("nobody's"))

    async def test_append_of_an_epoch_that_was_never_given_is_fenced(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        [refusal] = await journal.append([append(S, 7, 1, OPENED)])
        assert isinstance(refusal, Fenced)

    async def test_append_that_leaves_a_gap_is_refused_and_says_where_to_go_on(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED)])
        [refusal] = await journal.append([append(S, 1, 3, CLOSED)])
        assert isinstance(refusal, SequenceGap)
        assert "from record 2 on" in refusal.message

    async def test_repeat_is_a_success_and_changes_nothing(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        first, second = append(S, 1, 1, OPENED, said("a")), append(S, 1, 3, said("b"))
        await journal.append([first, second])
        assert await journal.append([first]) == [None]
        assert await journal.append([second, first, second]) == [None, None, None]
        assert await told(journal, S) == ["opened", "a", "b"]

    async def test_repeat_beside_its_original_is_judged_by_what_the_original_wrote(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        first = append(S, 1, 1, OPENED, said("a"))
        other = append(S, 1, 1, OPENED, said("other"))
        outcomes = await journal.append([first, first, other, append(S, 1, 3, said("b"))])
        assert [type(outcome) for outcome in outcomes] == [type(None), type(None), SequenceGap, type(None)]
        assert await told(journal, S) == ["opened", "a", "b"]

    async def test_repeat_with_more_behind_it_adds_only_what_is_new(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED, said("a"))])
        assert await journal.append([append(S, 1, 2, said("a"), said("b"))]) == [None]
        assert await told(journal, S) == ["opened", "a", "b"]

    async def test_another_record_in_a_taken_place_is_refused_whole(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED, said("a"))])
        [refusal] = await journal.append([append(S, 1, 2, said("other"), said("b"))])
        assert isinstance(refusal, SequenceGap)
        assert await told(journal, S) == ["opened", "a"]

    async def test_record_of_an_earlier_epoch_is_no_repeat(self, journal: FullJournal) -> None:
        await journal.claim(S, "one")
        await journal.append([append(S, 1, 1, OPENED)])
        await journal.claim(S, "two")
        [refusal] = await journal.append([append(S, 2, 1, OPENED)])
        assert isinstance(refusal, SequenceGap)

    async def test_refused_append_does_not_hurt_its_neighbours(self, journal: FullJournal) -> None:
        for name in ("a", "b", "c"):
            await journal.claim(SessionId(name), "me")
        outcomes = await journal.append(
            [append("a", 1, 1, OPENED), append("b", 9, 1, OPENED), append("c", 1, 5, OPENED), append("a", 1, 2, CLOSED)]
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), Fenced, SequenceGap, type(None)]
        assert await told(journal, "a") == ["opened", "closed"]
        assert not await journal.exists(SessionId("b"))
        assert not await journal.exists(SessionId("c"))

    async def test_records_that_do_not_follow_each_other_are_refused(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        [refusal] = await journal.append([Append(S, 1, [Record(1, 1, 0.0, OPENED), Record(3, 1, 0.0, CLOSED)])])
        assert isinstance(refusal, SequenceGap)
        [refusal] = await journal.append([append(S, 1, 0, OPENED)])
        assert isinstance(refusal, SequenceGap)
        assert not await journal.exists(S)

    async def test_record_of_another_epoch_than_its_append_is_refused(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        [refusal] = await journal.append([Append(S, 1, [Record(1, 2, 0.0, OPENED)])])
        assert isinstance(refusal, JournalError)
        assert refusal.kind == "bad_append"

    async def test_empty_append_asks_whether_the_epoch_still_holds(self, journal: FullJournal) -> None:
        await journal.claim(S, "one")
        assert await journal.append([Append(S, 1, [])]) == [None]
        await journal.claim(S, "two")
        [refusal] = await journal.append([Append(S, 1, [])])
        assert isinstance(refusal, Fenced)
        assert await journal.append([]) == []

    async def test_many_sessions_append_at_once_and_each_keeps_its_own_order(self, journal: FullJournal) -> None:
        async def talk(name: str) -> None:
            epoch = (await journal.claim(SessionId(name), "me")).epoch
            for seq in range(1, 6):
                assert await journal.append([append(name, epoch, seq, said(f"{name} {seq}"))]) == [None]

        names = [f"s{number}" for number in range(40)]
        await asyncio.gather(*map(talk, names))
        for name in names:
            assert await told(journal, name) == [f"{name} {seq}" for seq in range(1, 6)]

    async def test_of_two_owners_only_the_later_one_writes(self, journal: FullJournal) -> None:
        claims = await asyncio.gather(*(journal.claim(S, f"owner {number}") for number in range(5)))
        assert sorted(claim.epoch for claim in claims) == [1, 2, 3, 4, 5]
        outcomes = await asyncio.gather(
            *(journal.append([append(S, claim.epoch, 1, said(f"epoch {claim.epoch}"))]) for claim in claims)
        )
        accepted = [claim.epoch for claim, [outcome] in zip(claims, outcomes, strict=True) if outcome is None]
        assert accepted == [5]
        assert await told(journal, S) == ["epoch 5"]

    async def test_large_body_is_read_back_whole(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        text = "x" * 600_000
        sent = append(S, 1, 1, OPENED, said(text), said("small"), said(text))
        assert await journal.append([sent]) == [None]
        assert await journal.append([sent]) == [None]
        assert await told(journal, S) == ["opened", text, "small", text]

    async def test_long_session_is_read_in_one_piece(self, journal: FullJournal) -> None:
        await journal.claim(S, "me")
        texts = [f"{number} " + "y" * 3000 for number in range(4500)]
        await journal.append([append(S, 1, 1, *map(said, texts))])
        assert await told(journal, S) == texts
        assert len((await journal.claim(S, "other")).records) == 4500

    async def test_entries_survive_their_encoding(self, journal: FullJournal) -> None:
        assert decode(encode(OPENED)) == OPENED
        await journal.claim(S, "me")
        await journal.append([append(S, 1, 1, OPENED)])
        assert [record.entry for record in await journal.read(S)] == [OPENED]

    async def test_session_info_tells_owner_epoch_length_and_labels(self, journal: FullJournal) -> None:
        assert await journal.session_info(S) is None
        await journal.claim(S, "one")
        await journal.append([append(S, 1, 1, OPENED, said("a"))])
        await journal.claim(S, "two")
        info = await journal.session_info(S)
        assert info is not None
        assert (info.owner, info.epoch, info.last_seq, info.labels) == ("two", 2, 2, {"team": "red"})
        assert info.updated_at == 2.0

    async def test_sessions_are_listed_newest_first_page_by_page(self, journal: FullJournal) -> None:
        for number in range(5):
            name = f"s{number}"
            await journal.claim(SessionId(name), "me")
            await journal.append([append(name, 1, 1, OPENED)])
        await journal.claim(SessionId("claimed only"), "me")
        whole = [info.session_id for info in await journal.list_sessions()]
        assert sorted(whole) == ["s0", "s1", "s2", "s3", "s4"]
        first = await journal.list_sessions(limit=2)
        rest = await journal.list_sessions(limit=10, after=first[-1].session_id)
        assert [info.session_id for info in [*first, *rest]] == whole
        ages = [info.created_at for info in [*first, *rest]]
        assert ages == sorted(ages, reverse=True)
        assert list(await journal.list_sessions(after=SessionId("unknown"))) == []

    async def test_blob_is_kept_under_its_hash(self, journal: FullJournal) -> None:
        digest = await journal.put_blob(b"abc")
        assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert await journal.put_blob(b"abc") == digest
        assert await journal.get_blob(digest) == b"abc"
        assert await journal.get_blob("0" * 64) is None

    async def test_claim_with_a_first_record_writes_it_only_into_a_new_session(self, journal: FullJournal) -> None:
        first = Record(1, 1, 5.0, OPENED)
        claim = await journal.claim(S, "one", first)
        assert (claim.epoch, list(claim.records)) == (1, [first])
        again = await journal.claim(S, "two", Record(1, 1, 9.0, said("not this")))
        assert (again.epoch, list(again.records)) == (2, [first])
        await journal.claim(SessionId("empty"), "one")
        late = await journal.claim(SessionId("empty"), "two", first)
        assert (late.epoch, list(late.records)) == (2, [Record(1, 2, 5.0, OPENED)])
        assert await told(journal, "empty") == ["opened"]

    # --- snapshots --------------------------------------------------------------------------------------------------

    async def test_claim_gives_the_snapshot_and_only_what_followed_it(self, journal: FullJournal) -> None:
        epoch = await written(journal, S, 5)
        await journal.save_snapshot(S, epoch, Snapshot(3, b"state \x00 after three"))
        claim = await journal.claim(S, "next")
        assert claim.snapshot == Snapshot(3, b"state \x00 after three")
        assert [record.seq for record in claim.records] == [4, 5]
        assert [record.seq for record in await journal.read(S)] == [1, 2, 3, 4, 5]
        assert [record.seq for record in await journal.read(S, after=1)] == [2, 3, 4, 5]

    async def test_snapshot_of_everything_leaves_no_record_to_replay(self, journal: FullJournal) -> None:
        epoch = await written(journal, S, 2)
        await journal.save_snapshot(S, epoch, Snapshot(2, b"x" * 700_000))
        claim = await journal.claim(S, "next")
        assert claim.snapshot is not None
        assert (len(claim.snapshot.data), list(claim.records)) == (700_000, [])
        assert await journal.append([append(S, claim.epoch, 3, said("more"))]) == [None]

    async def test_newest_snapshot_is_kept_whatever_comes_late(self, journal: FullJournal) -> None:
        epoch = await written(journal, S, 4)
        for seq in (2, 4, 3):
            await journal.save_snapshot(S, epoch, Snapshot(seq, f"of {seq}".encode()))
        assert (await journal.claim(S, "next")).snapshot == Snapshot(4, b"of 4")

    async def test_snapshot_of_an_old_owner_is_fenced(self, journal: FullJournal) -> None:
        epoch = await written(journal, S, 2)
        await journal.claim(S, "next")
        with pytest.raises(Fenced):
            await journal.save_snapshot(S, epoch, Snapshot(2, b"old"))
        with pytest.raises(Fenced):
            await journal.save_snapshot(SessionId("unknown"), 1, Snapshot(1, b"old"))
        assert (await journal.claim(S, "third")).snapshot is None

    async def test_snapshot_of_a_record_that_is_not_there_is_refused(self, journal: FullJournal) -> None:
        epoch = await written(journal, S, 2)
        for seq in (0, 3):
            with pytest.raises(SequenceGap, match="ends at record 2"):
                await journal.save_snapshot(S, epoch, Snapshot(seq, b"of the future"))

    # --- sessions as rows -------------------------------------------------------------------------------------------

    async def test_sessions_are_found_by_all_of_the_labels_given(self, journal: FullJournal) -> None:
        labelled = {
            "a": {"team": "red", "run": "1"},
            "b": {"team": "red", "run": "2"},
            "c": {"team": "blue", "run": "1", "odd \x00 'name\"": "gr\xfc\xdfe \x00 %"},
            "d": {},
        }
        for name, labels in labelled.items():
            opened = OPENED.model_copy(update={"labels": labels})
            await journal.claim(SessionId(name), "me", Record(1, 1, 1.0, opened))

        async def found(**labels: str) -> set[str]:
            return {info.session_id for info in await journal.list_sessions(labels=labels)}

        assert await found() == {"a", "b", "c", "d"}
        assert await found(team="red") == {"a", "b"}
        assert await found(team="red", run="1") == {"a"}
        assert await found(run="1") == {"a", "c"}
        assert await found(team="re") == set()
        assert await found(**{"odd \x00 'name\"": "gr\xfc\xdfe \x00 %"}) == {"c"}
        one = await journal.list_sessions(limit=1, labels={"run": "1"})
        rest = await journal.list_sessions(limit=9, after=one[0].session_id, labels={"run": "1"})
        assert sorted(info.session_id for info in [*one, *rest]) == ["a", "c"]

    async def test_deleted_session_is_gone_with_its_records_snapshot_and_labels(self, journal: FullJournal) -> None:
        epoch = await written(journal, S, 3)
        await journal.save_snapshot(S, epoch, Snapshot(2, b"state"))
        await written(journal, SessionId("other"), 2)
        assert await journal.delete(S)
        assert not await journal.delete(S)
        assert not await journal.exists(S)
        assert await journal.session_info(S) is None
        assert list(await journal.read(S)) == []
        assert [info.session_id for info in await journal.list_sessions(labels={"team": "red"})] == ["other"]
        assert await told(journal, "other") == ["opened", "2"]

    async def test_owner_of_a_deleted_session_loses_it_for_ever(self, journal: FullJournal) -> None:
        epoch = await written(journal, S, 3)
        await journal.delete(S)
        [refusal] = await journal.append([append(S, epoch, 4, said("late"))])
        assert isinstance(refusal, Fenced)
        claim = await journal.claim(S, "new", Record(1, 1, 1.0, OPENED))
        assert claim.epoch > epoch
        assert ([record.seq for record in claim.records], claim.snapshot) == ([1], None)
        for seq in (2, 4):
            [refusal] = await journal.append([append(S, epoch, seq, said("later still"))])
            assert isinstance(refusal, Fenced)
        assert await journal.append([append(S, claim.epoch, 2, said("mine"))]) == [None]
        assert await told(journal, S) == ["opened", "mine"]

    async def test_deletion_beside_claims_and_appends_of_the_same_session_is_one_of_their_orders(
        self, journal: FullJournal
    ) -> None:
        epoch = await written(journal, S, 1)
        first = Record(1, 1, 1.0, OPENED)
        [outcome], deleted, claim = await asyncio.gather(
            journal.append([append(S, epoch, 2, said("before"))]), journal.delete(S), journal.claim(S, "new", first)
        )
        assert deleted
        assert outcome is None or isinstance(outcome, Fenced)
        assert claim.epoch > epoch
        info = await journal.session_info(S)
        assert info is None or (info.epoch, info.owner) == (claim.epoch, "new")

    async def test_a_fence_refuses_every_owner_of_before_it_and_nobody_after_it(self, journal: FullJournal) -> None:
        gone, kept = SessionId("gone"), SessionId("kept")
        before = await written(journal, gone, 2)
        epoch = await written(journal, kept, 2)
        assert await journal.delete(gone)
        assert await journal.fence() == 1
        old = await journal.append([append(kept, epoch, 3, said("late")), append(gone, before, 1, OPENED)])
        assert [type(outcome) for outcome in old] == [Fenced, Fenced]
        for name, first in ((kept, 3), (gone, 1), (SessionId("new"), 1)):
            claim = await journal.claim(name, "somebody else")
            assert claim.epoch > epoch + 1000
            assert len(claim.records) == first - 1
            assert await journal.append([append(name, claim.epoch, first, OPENED)]) == [None]

    async def test_sessions_not_written_to_since_a_time_are_deleted_in_batches(self, journal: FullJournal) -> None:
        for number in range(7):
            name = SessionId(f"s{number}")
            await journal.claim(name, "me", Record(1, 1, 100.0 + number, OPENED))
        await journal.append([append("s0", 1, 2, said("x"))])
        info = await journal.session_info(SessionId("s0"))
        assert info is not None
        assert info.updated_at == 2.0
        assert list(await journal.delete_idle(105.0, limit=2)) == ["s0", "s1"]
        assert sorted(await journal.delete_idle(105.0, limit=10)) == ["s2", "s3", "s4"]
        assert list(await journal.delete_idle(105.0)) == []
        assert sorted(info.session_id for info in await journal.list_sessions()) == ["s5", "s6"]


async def written(journal: FullJournal, session: SessionId, records: int) -> int:
    """A session with so many records; its epoch."""
    claim = await journal.claim(session, "me", Record(1, 1, 1.0, OPENED))
    if records > 1:
        more = [said(str(seq)) for seq in range(2, records + 1)]
        assert await journal.append([append(session, claim.epoch, 2, *more)]) == [None]
    return claim.epoch
