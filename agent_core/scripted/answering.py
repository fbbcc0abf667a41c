"""Answers one model request over HTTP: checks key and body, asks the engine, sends, and keeps the record.

The rule here: every request ends in the record once, with the outcome that the client saw.
"""

import asyncio
import json

from aiohttp import web

from agent_core.scripted import http_faults
from agent_core.scripted.engine import Answer, Engine
from agent_core.scripted.frames import compact, encoded
from agent_core.scripted.knobs import FAULT_ORDER
from agent_core.scripted.record import Recorder, RequestRecord
from agent_core.scripted.signing import Mint
from agent_core.scripted.stream import Pacer, Stalls, error_text, fault_position, with_pings
from agent_core.scripted.wire import Json, Wire, WireError, as_object

PATHS = {
    "/v1/messages": Wire.ANTHROPIC,
    "/v1/messages/count_tokens": Wire.ANTHROPIC,
    "/v1/chat/completions": Wire.CHAT,
    "/v1/responses": Wire.RESPONSES,
}
_ON_PURPOSE = frozenset(FAULT_ORDER) | {"scripted_error"}


class Answering:
    """The handler of the model paths."""

    def __init__(self, engine: Engine, recorder: Recorder, stalls: Stalls) -> None:
        self._engine = engine
        self._recorder = recorder
        self._stalls = stalls
        self._ids = Mint()

    async def handle(self, request: web.BaseRequest, wire: Wire) -> web.StreamResponse:
        """Answers `request`, valid or not."""
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raw = None
        record = self._recorder.begin(wire, request.path, raw or b"", request.headers)
        headers = _headers(wire, self._ids.suffix())
        try:
            return await self._serve(request, record, raw, headers)
        except WireError as error:
            record.status, record.reason = error.status, error.reason
            record.outcome = "fault" if error.reason in _ON_PURPOSE else "invalid"
            return _refusal(error, wire, headers)
        except (asyncio.CancelledError, ConnectionError):
            record.outcome = record.outcome or "left"
            raise
        finally:
            self._recorder.end(record, "answered" if record.status else "crashed")

    async def _serve(
        self, request: web.BaseRequest, record: RequestRecord, raw: bytes | None, headers: dict[str, str]
    ) -> web.StreamResponse:
        wire = record.wire or Wire.ANTHROPIC
        self._authorise(request, wire)
        if request.method != "POST":
            raise http_faults.wrong_method(wire, request.method)
        body = _parsed(wire, raw)
        if wire is Wire.ANTHROPIC and "anthropic-version" not in request.headers:
            raise http_faults.missing_version()
        record.model = str(body.get("model", ""))
        if request.path.endswith("/count_tokens"):
            record.status = 200
            return _json({"input_tokens": self._engine.count_tokens(body)}, headers)
        answer = self._engine.answer(wire, body)
        record.session, record.stream = answer.request.session, answer.request.stream
        record.summary = answer.request.summary
        self._count(answer)
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.fault == "dropped":
            record.outcome = "dropped"
            _drop(request)
            return web.Response()
        record.status = 200
        if answer.request.stream:
            return await self._stream(request, record, answer, headers)
        return await self._whole(request, record, answer, headers)

    def _authorise(self, request: web.BaseRequest, wire: Wire) -> None:
        keys = self._engine.script.api_keys
        if not keys:
            return
        authorisation = request.headers.get("authorization", "")
        key = request.headers.get("x-api-key") or authorisation.removeprefix("Bearer ").strip() or None
        if key not in keys:
            raise http_faults.unauthorised(wire, key)

    def _count(self, answer: Answer) -> None:
        stats = self._recorder.stats
        stats.input_tokens += answer.usage.input_tokens
        stats.output_tokens += answer.usage.output_tokens
        stats.cache_read_tokens += answer.usage.cache_read_tokens
        stats.cache_write_tokens += answer.usage.cache_write_tokens
        stats.notices.update(answer.notices)
        if answer.fault is not None:
            stats.faults[answer.fault] += 1
        stats.summaries += answer.request.summary
        if answer.spoil is not None:
            stats.spoils[answer.spoil] += 1

    async def _whole(
        self, request: web.BaseRequest, record: RequestRecord, answer: Answer, headers: dict[str, str]
    ) -> web.StreamResponse:
        body = self._engine.body(answer)
        match answer.fault:
            case "stall":
                record.outcome = "stalled"
                await self._stall(answer)
            case "cut":
                record.outcome = "cut"
                return await _half(request, encoded(compact(body)), headers)
            case "stream_error":
                record.outcome, record.status = "stream_error", 500
                error = http_faults.stream_error(answer.request.wire, answer.knobs)
                return _json(error, headers, status=500)
            case _:
                pass
        return _json(body, headers)

    async def _stream(
        self, request: web.BaseRequest, record: RequestRecord, answer: Answer, headers: dict[str, str]
    ) -> web.StreamResponse:
        frames = self._engine.frames(answer)
        if answer.knobs.ping_every_deltas is not None:
            frames = with_pings(frames, answer.knobs.ping_every_deltas, answer.request.wire)
        headers["content-type"] = "text/event-stream; charset=utf-8"
        headers["cache-control"] = "no-cache"
        position = fault_position(answer)
        if position is None and answer.knobs.tokens_per_second is None:
            return web.Response(body=frames.whole(), headers=headers)
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        pacer = Pacer(response, frames, answer)
        if position is not None:
            await pacer.up_to(position)
            if not await self._break(request, record, answer, pacer):
                return response
        await pacer.up_to(None)
        return response

    async def _break(self, request: web.BaseRequest, record: RequestRecord, answer: Answer, pacer: Pacer) -> bool:
        """Lets the fault of the stream fall; says whether the stream goes on."""
        match answer.fault:
            case "cut":
                record.outcome = "cut"
                _drop(request)
                return False
            case "stream_error":
                record.outcome = "stream_error"
                await pacer.fail(error_text(answer, pacer.sent, int(self._engine.clock())))
                return False
            case _:
                record.outcome = "stalled"
                await self._stall(answer)
                pacer.resume()
                return True

    async def _stall(self, answer: Answer) -> None:
        self._recorder.stats.stalled += 1
        self._recorder.changed()
        try:
            await self._stalls.wait(answer.knobs.stall_s)
        finally:
            self._recorder.stats.stalled -= 1


def _parsed(wire: Wire, raw: bytes | None) -> Json:
    if raw is None:
        raise http_faults.too_large(wire)
    try:
        body = as_object(json.loads(raw))
    except ValueError as error:
        raise http_faults.not_json(wire, str(error)) from None
    if body is None:
        raise http_faults.not_json(wire, "the top level is not an object")
    return body


def _headers(wire: Wire, suffix: str) -> dict[str, str]:
    if wire is Wire.ANTHROPIC:
        return {"request-id": f"req_{suffix}", "content-type": "application/json"}
    return {"x-request-id": f"req_{suffix}", "openai-version": "2020-10-01", "content-type": "application/json"}


def _json(body: Json, headers: dict[str, str], status: int = 200) -> web.Response:
    return web.Response(body=encoded(compact(body)), status=status, headers=headers)


def _refusal(error: WireError, wire: Wire, headers: dict[str, str]) -> web.Response:
    body = error.body
    if wire is Wire.ANTHROPIC and "request_id" not in body:
        body = body | {"request_id": headers["request-id"]}
    return _json(body, headers | error.headers, error.status)


def _drop(request: web.BaseRequest) -> None:
    """Closes the connection behind what was written; nothing that ends the answer is sent."""
    if request.transport is not None:
        request.transport.close()


async def _half(request: web.BaseRequest, body: bytes, headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _drop(request)
    return response
