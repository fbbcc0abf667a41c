"""A grading model on a real session: what the sample's answer is graded with, and what that took."""

from agent_core.evaluation.grading import SessionGrader
from agent_core.evaluation.scoring import ModelGradedQA
from agent_core.messages import Usage
from agent_core.testing import Says
from tests.core.evaluation.scoring.world import judged
from tests.core.stage import Stage


async def test_a_grader_answers_in_a_session_of_its_own_which_leaves() -> None:
    stage = Stage(Says("It is right.\n\nGRADE: C", usage=Usage(input_tokens=200, output_tokens=9)))
    scorer = ModelGradedQA(model="local/fake", system_prompt="Be strict.")
    score = await judged(scorer, "Paris", "Paris", grader=SessionGrader(stage.host, "run"))
    assert (score.value, score.usage) == (1, Usage(input_tokens=200, output_tokens=9))
    request = stage.model.requests[0]
    assert request.config.system_prompt == "Be strict."
    assert not stage.host.active
