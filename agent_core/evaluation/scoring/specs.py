"""From what a task, a file or a flag says to the scorers themselves, and back to what counts of them.

The rule here: a scorer is one of the built-in ones, a function of an answer, or an object with a name and a `score`.
Anything else is refused before a session is opened, and whoever is refused is told what there is.

    includes                          numeric:tolerance=0.01,read=first       numeric(tolerance=0.01, read="first")
    {kind: match, at: begin}          my_module:my_function
"""

import importlib
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, cast

from pydantic import BaseModel, Field, ValidationError

from agent_core.errors import ConfigError
from agent_core.evaluation.authors import author_error
from agent_core.evaluation.notation import parse
from agent_core.evaluation.score import Scorer
from agent_core.evaluation.scoring.choosing import MultipleChoice
from agent_core.evaluation.scoring.function import FunctionScorer
from agent_core.evaluation.scoring.graded import ModelGradedFact, ModelGradedQA
from agent_core.evaluation.scoring.json_path import JsonPath
from agent_core.evaluation.scoring.numeric import Numeric
from agent_core.evaluation.scoring.patterns import Regex
from agent_core.evaluation.scoring.texts import Exact, Includes, Match
from agent_core.evaluation.scoring.tool_calls import ToolCalls

BuiltIn = (
    Exact | Includes | Match | Regex | Numeric | JsonPath | ToolCalls | MultipleChoice | ModelGradedQA | ModelGradedFact
)
ScorerSpec = Annotated[BuiltIn, Field(discriminator="kind")]
"""A built-in scorer as data, told apart by its `kind`."""

_TYPES: tuple[type[BuiltIn], ...] = (
    Exact,
    Includes,
    Match,
    Regex,
    Numeric,
    JsonPath,
    ToolCalls,
    MultipleChoice,
    ModelGradedQA,
    ModelGradedFact,
)
KINDS: dict[str, type[BuiltIn]] = {str(made.model_fields["kind"].default): made for made in _TYPES}
_HOW = f"There are: {', '.join(KINDS)}; or module:name of a function of an answer."
_SETTING = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*")


def scorer_of(given: object) -> Scorer:
    """The scorer that is meant: itself, a function, a text or fields with a `kind`, as shown above.

    Imports the module of one that is named so. Raises ConfigError.
    """
    if isinstance(given, str):
        return _of_text(given.strip())
    if isinstance(given, Mapping):
        fields = {str(key): value for key, value in cast("Mapping[object, Any]", given).items()}
        kind = fields.pop("kind", None)
        if kind is None:
            raise ConfigError(f"scorer: {_cut(fields)} does not say its kind. {_HOW}", kind="scorer")
        return _built(str(kind), fields)
    return _checked(given)


def scorers_of(given: object) -> tuple[Scorer, ...]:
    """The scorers of a task: one, or a list. Raises ConfigError, also for two of one name."""
    if given is None:
        return ()
    several = isinstance(given, Iterable) and not isinstance(given, str | Mapping | BaseModel)
    listed = list(cast("Iterable[object]", given)) if several else [cast("object", given)]
    scorers = tuple(map(scorer_of, listed))
    names = [scorer.name for scorer in scorers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"scorer: two scorers are called '{name}'. Give one another name, as in {name}:name=...", kind="scorer"
            )
        if clash := next((other for other in names if other.startswith(f"{name}.")), None):
            raise ConfigError(f"scorer: '{clash}' could be a score of '{name}'. Give one another name.", kind="scorer")
    return scorers


def described(scorer: Scorer) -> dict[str, Any]:
    """What of a scorer counts for the configuration: its kind, and every setting that is not the default."""
    if isinstance(scorer, BuiltIn):
        return {"kind": scorer.kind, **scorer.model_dump(mode="json", exclude_defaults=True)}
    if isinstance(scorer, FunctionScorer):
        return scorer.described
    made: dict[str, Any] = {"kind": "object", "name": scorer.name, "type": _qualified(type(scorer))}
    return made | (scorer.model_dump(mode="json") if isinstance(scorer, BaseModel) else {})


def _of_text(text: str) -> Scorer:
    head, colon, rest = text.partition(":")
    kind = head.strip().replace("-", "_")
    if kind in KINDS:
        return _built(kind, _settings(rest, text) if colon else {})
    if "(" in text:
        named = parse(text, "scorer")
        return _built(named.name, named.arguments)
    if colon and all(part.isidentifier() for part in (*head.split("."), *rest.split("."))):
        return _checked(_imported(head, rest, text))
    raise ConfigError(f"scorer: there is no scorer '{_cut(text)}'. {_HOW}", kind="scorer")


def _settings(rest: str, text: str) -> dict[str, Any]:
    """`key=value` pairs, parted by commas. A value is JSON where it is some, else text up to the next pair."""
    settings: dict[str, Any] = {}
    at = 0
    while at < len(rest):
        found = _SETTING.match(rest, at)
        if found is None:
            raise ConfigError(
                f"scorer: '{_cut(text)}': '{_cut(rest[at:])}' is no setting. Write KIND:setting=value,setting=value.",
                kind="scorer",
            )
        settings[found[1]], at = _value(rest, found.end())
    return settings


def _value(rest: str, at: int) -> tuple[Any, int]:
    """The value that begins here, and where the next setting does."""
    try:
        value, end = json.JSONDecoder().raw_decode(rest, at)
        if end == len(rest) or rest[end:].lstrip().startswith(","):
            return value, end + (len(rest[end:]) - len(rest[end:].lstrip())) + 1
    except (ValueError, RecursionError):
        pass
    # A text may hold commas: the next setting begins behind one that a name and an equals sign follow.
    following = re.compile(r",(?=\s*[A-Za-z_]\w*\s*=)").search(rest, at)
    end = len(rest) if following is None else following.start()
    return rest[at:end].strip(), end + 1


def _built(kind: str, fields: dict[str, Any]) -> Scorer:
    made = KINDS.get(kind.replace("-", "_"))
    if made is None:
        raise ConfigError(f"scorer: there is no scorer '{_cut(kind)}'. {_HOW}", kind="scorer")
    try:
        return made(**fields)
    except ValidationError as error:
        wrong = "; ".join(_said(item["loc"], item["msg"]) for item in error.errors(include_url=False))
        known = ", ".join(sorted(made.model_fields.keys() - {"kind"}))
        raise ConfigError(f"scorer: {kind}: {wrong}. Its settings: {known}.", kind="scorer") from None


def _said(place: Sequence[int | str], text: str) -> str:
    said = text.removeprefix("Value error, ")
    if said == "Extra inputs are not permitted":
        said = "there is no such setting"
    return f"{'.'.join(map(str, place))}: {said}" if place else said


def _imported(module: str, name: str, given: str) -> object:
    try:
        found: object = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything while it is imported
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"scorer: there is neither a scorer nor a module '{module}' (asked for as {given}). Run from the"
                f" directory that holds the module. {_HOW}",
                kind="scorer",
            ) from None
        raise ConfigError(f"scorer: module '{module}' does not import.\n{author_error(error)}", kind="scorer") from None
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise ConfigError(f"scorer: '{name}' is not in module '{module}'. Check the name.", kind="scorer")
    return found


def _checked(found: Any) -> Scorer:
    if inspect.isclass(found):
        raise ConfigError(
            f"scorer: {_qualified(found)} is a class. Give one that is made: {found.__name__}(...).", kind="scorer"
        )
    score, name = getattr(found, "score", None), getattr(found, "name", None)
    if callable(score):
        if not isinstance(name, str) or not name:
            raise ConfigError(f"scorer: {_qualified(type(found))} has no name. Give it a `name`.", kind="scorer")
        if not inspect.iscoroutinefunction(score):
            raise ConfigError(
                f"scorer: the method score of {_qualified(type(found))} is not asynchronous. Write: async def"
                " score(self, answered).",
                kind="scorer",
            )
        return cast("Scorer", found)
    if not callable(found):
        raise ConfigError(f"scorer: {_cut(found)} is no scorer. {_HOW}", kind="scorer")
    return FunctionScorer(cast("Any", found))


def _qualified(found: Any) -> str:
    return f"{found.__module__}:{found.__qualname__}"


def _cut(value: object) -> str:
    text = value if isinstance(value, str) else f"{type(value).__name__} {value!r}"
    return text if len(text) <= 80 else text[:79] + "…"
