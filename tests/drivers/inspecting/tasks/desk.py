"""Samples with files in a sandbox, which a tool and a scorer look at."""

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import Score, accuracy, includes, scorer
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import tool
from inspect_ai.util import sandbox


@tool
def read():
    async def execute(file: str):
        """Read a file of the desk.

        Args:
            file: Its name.
        """
        await sandbox().write_file("seen.txt", file)
        return await sandbox().read_file(file)

    return execute


@scorer(metrics=[accuracy()])
def was_seen():
    async def score(state, target):
        return Score(value="C" if await sandbox().read_file("seen.txt") == "note.txt" else "I")

    return score


@task
def desk():
    samples = [
        Sample(id="tea", input="What does note.txt say?", target="tea", files={"note.txt": "Buy tea."}),
        Sample(id="rope", input="What does note.txt say?", target="tea", files={"note.txt": "Buy rope."}),
    ]
    return Task(
        dataset=samples, solver=[use_tools(read()), generate()], scorer=[includes(), was_seen()], sandbox="local"
    )
