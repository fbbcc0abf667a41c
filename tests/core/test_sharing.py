"""Values that sessions share: equal, never changed, and kept no longer than they are held."""

import copy
import gc
import pickle
import weakref

from agent_core.config import SessionConfig
from agent_core.content import TextBlock
from agent_core.messages import SessionId, TurnId, UserMessage
from agent_core.sharing import shared, slimmed


def test_equal_settings_become_one_object_and_different_ones_stay_apart() -> None:
    first = shared(SessionConfig(model="local/fake", system_prompt="Be brief."))
    assert shared(SessionConfig(model="local/fake", system_prompt="Be brief.")) is first
    assert shared(SessionConfig(model="local/fake", system_prompt="Be long.")) is not first


def test_what_nobody_holds_any_more_is_let_go() -> None:
    kept = weakref.ref(shared(SessionConfig(model="local/fake", system_prompt="once")))
    gc.collect()
    assert kept() is None


def test_a_slimmed_message_is_what_it_was_and_its_copies_change_nothing_shared() -> None:
    def message(text: str) -> UserMessage:
        return UserMessage(id="m", session_id=SessionId("s"), turn_id=TurnId("u1"), content=(TextBlock(text=text),))

    one, other = slimmed(message("one")), slimmed(message("other"))
    assert one == message("one")
    assert one.model_fields_set == message("one").model_fields_set
    assert one.model_dump_json(exclude_unset=True) == message("one").model_dump_json(exclude_unset=True)
    assert pickle.loads(pickle.dumps(one)) == one
    for changed in (copy.copy(one), copy.deepcopy(one), one.model_copy()):
        assert changed.model_copy(update={"marker": "summary"}).model_fields_set == one.model_fields_set | {"marker"}
    assert "marker" not in one.model_fields_set
    assert "marker" not in other.model_fields_set
