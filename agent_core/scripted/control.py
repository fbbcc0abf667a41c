"""The server's own paths: health, the models, and `/scripted/` to turn knobs and to read what was seen.

The rule here: a control request is never counted, delayed or broken.
"""

import json
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import ValidationError

from agent_core.scripted import http_faults
from agent_core.scripted.engine import Engine
from agent_core.scripted.frames import compact, encoded
from agent_core.scripted.knobs import Knobs
from agent_core.scripted.record import Recorder
from agent_core.scripted.script import ModelLimits
from agent_core.scripted.stream import Stalls
from agent_core.scripted.wire import Json

_EPOCH = "1970-01-01T00:00:00Z"
_DEFAULT_MODELS = ("scripted",)


class Control:
    """The handler of all paths but the model ones."""

    def __init__(self, engine: Engine, recorder: Recorder, stalls: Stalls) -> None:
        self._engine = engine
        self._recorder = recorder
        self._stalls = stalls
        self._paths: dict[tuple[str, str], Callable[[web.BaseRequest], Awaitable[Json]]] = {
            ("GET", "/health"): self._health,
            ("GET", "/v1/models"): self._models,
            ("GET", "/scripted/knobs"): self._knobs,
            ("POST", "/scripted/knobs"): self._turn,
            ("DELETE", "/scripted/knobs"): self._restore,
            ("GET", "/scripted/requests"): self._requests,
            ("GET", "/scripted/stats"): self._stats,
            ("POST", "/scripted/reset"): self._reset,
            ("POST", "/scripted/release"): self._release,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers a control request; 404 in the provider's words for a path that does not exist."""
        handler = self._paths.get((request.method, request.path))
        if handler is not None:
            status, body = 200, await handler(request)
            if "error" in body:
                status = 400
        else:
            error = http_faults.no_such_path(request.method, request.path, anthropic=_is_anthropic(request))
            status, body = error.status, error.body
        return web.Response(body=encoded(compact(body)), status=status, content_type="application/json")

    async def _health(self, _: web.BaseRequest) -> Json:
        return {"status": "ok"}

    async def _models(self, request: web.BaseRequest) -> Json:
        limits = self._engine.script.models or dict.fromkeys(_DEFAULT_MODELS, self._engine.script.default_limits)
        if _is_anthropic(request):
            listed = [_anthropic_model(name, limit) for name, limit in limits.items()]
            names = list(limits)
            return {"data": listed, "has_more": False, "first_id": names[0], "last_id": names[-1]}
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "scripted"} for name in limits]
        return {"object": "list", "data": listed}

    async def _knobs(self, _: web.BaseRequest) -> Json:
        return self._engine.knobs.model_dump(mode="json")

    async def _turn(self, request: web.BaseRequest) -> Json:
        try:
            knobs = Knobs.model_validate(json.loads(await request.read()))
        except json.JSONDecodeError as error:
            return {"error": {"message": f"Send the knobs as a JSON object: {error}."}}
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the top level"
            return {"error": {"message": f"{where}: {first['msg']}. Mend that knob; GET /scripted/knobs lists all."}}
        self._engine.set_knobs(knobs.over(self._engine.knobs))
        return await self._knobs(request)

    async def _restore(self, request: web.BaseRequest) -> Json:
        self._engine.set_knobs(self._engine.script.knobs)
        return await self._knobs(request)

    async def _requests(self, request: web.BaseRequest) -> Json:
        last = request.query.get("last", "")
        records = self._recorder.requests
        kept = records[-int(last) :] if last.isdigit() and int(last) > 0 else records
        return {"requests": [record.public() for record in kept]}

    async def _stats(self, _: web.BaseRequest) -> Json:
        return self._recorder.stats.public()

    async def _reset(self, request: web.BaseRequest) -> Json:
        self._recorder.reset()
        return await self._stats(request)

    async def _release(self, _: web.BaseRequest) -> Json:
        released = self._stalls.waiting
        self._stalls.release()
        return {"released": released}


def _is_anthropic(request: web.BaseRequest) -> bool:
    return "anthropic-version" in request.headers


def _anthropic_model(name: str, limits: ModelLimits) -> Json:
    return {
        "id": name,
        "type": "model",
        "display_name": name,
        "created_at": _EPOCH,
        "lifecycle": "active",
        "max_input_tokens": limits.context_window,
        "max_tokens": limits.max_output,
    }
