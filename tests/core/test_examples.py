"""What is shipped as examples: the questions of the demonstration, and programs that stay short."""

import json
from pathlib import Path

QUESTIONS = 24
PROGRAM_LINES = 40


def test_every_question_has_an_id_of_its_own_and_a_target(repository: Path) -> None:
    lines = (repository / "examples" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    assert len({question["id"] for question in questions}) == len(questions) == QUESTIONS
    for question in questions:
        assert set(question) == {"id", "input", "target"}
        assert question["input"].endswith("?")
        assert question["target"]


def test_every_program_is_under_forty_lines(repository: Path) -> None:
    lengths = {
        path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in repository.glob("examples/*.py")
    }
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines >= PROGRAM_LINES} == {}
