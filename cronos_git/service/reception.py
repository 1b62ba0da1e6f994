"""Takes requests in: refuses what makes no sense, gives a repeated request its answer again, and has all of them noted.

What is done is the service's. Floor F10.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from cronos_git.errors import BusError, CronosError, MessageError
from cronos_git.integrations.koios import KoiosLogger
from cronos_git.ports import Envelope
from cronos_git.service.answers import ERROR, Answer, failure, fitted, legacy_status, size_of
from cronos_git.service.messages import CHANGING, QUESTIONS, Asked, Request, parse, read_envelope

Do = Callable[[Asked, Request], Awaitable[Answer]]
Note = Callable[[Mapping[str, Any], str], Awaitable[None]]
"""Writes facts and a result to the operation log; never fails."""
Publish = Callable[[str, Mapping[str, Any]], Awaitable[object]]

_AT_ONCE: Mapping[str, int] = {"restore_backup": 1, "verify_backup": 2, "list_backups": 4, "get_status": 4}
"""So many requests of a kind are worked on at once, as each has files open; others wait. Backups stand in line anyway."""

_REMEMBERED = 64
_SENDERS = 256
_TOGETHER_S = 60.0

logger = KoiosLogger.get_logger("CRONOS.CronosService")


class Reception:
    """Answers requests, whichever way they came.

    A request that changes something and has the `request_id` of one of the last 64 of that sender which succeeded, or which is
    still being done, is not done again: it gets that one's answer. So a client may ask again when a connection broke, though not
    when the service was started anew.

    Attributes:
        is_closed: Whether no more work is taken, as the service is being stopped.

    Args:
        do: Does what is asked for.
        note: Writes to the operation log.
        publish: Publishes an event.
        limit_bytes: Tells how large a message may be.
    """

    def __init__(self, do: Do, note: Note, publish: Publish, limit_bytes: Callable[[], int]) -> None:
        self.is_closed = False
        self._do = do
        self._publish = publish
        self._log = RequestLog(note)
        self._limit_bytes = limit_bytes
        self._answers: OrderedDict[tuple[str, ...], asyncio.Future[Answer]] = OrderedDict()
        self._serving: set[asyncio.Task[Answer]] = set()
        self._turns = {verb: asyncio.Semaphore(most) for verb, most in _AT_ONCE.items()}

    async def answer(self, envelope: Envelope) -> Answer:
        """The answer to a request, in a size that fits into a message."""
        return await self._served(read_envelope(envelope))

    async def refused(self, envelope: Envelope, error: CronosError) -> None:
        """Take note of a request that the bus has refused."""
        await self._told(read_envelope(envelope), failure(error), begun=False)

    async def hear(self, envelope: Envelope) -> None:
        """Do what an event of the older kind asks for, and answer by an event."""
        asked = read_envelope(envelope)
        topic, payload = legacy_status(asked.topic, await self._served(asked), asked.request_id)
        try:
            await self._publish(topic, payload)
        except BusError as error:
            logger.warning("The answer on %s could not be published: %s", topic, error.message)

    async def end(self) -> None:
        """Wait until all that was taken is answered, and is noted in the operation log."""
        if self._serving:
            await asyncio.wait(self._serving)
        await self._log.flush()

    @contextlib.asynccontextmanager
    async def turn(self, asked: Asked) -> AsyncIterator[None]:
        """Wait until a request may be worked on, which it is during the block.

        Raises:
            BusError: The service is being stopped.
        """
        async with self._turns[asked.verb or ""]:
            self._require_open(asked)
            yield

    def _require_open(self, asked: Asked) -> None:
        if self.is_closed and asked.verb not in QUESTIONS:
            raise BusError("This CRONOS is being stopped.", hint="Ask again when it is back.")

    async def _served(self, asked: Asked) -> Answer:
        task = asyncio.create_task(self._once(asked))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return await asyncio.shield(task)  # what is begun is ended, also when whoever carried the question goes

    async def _once(self, asked: Asked) -> Answer:
        known = self._answers.get(_key(asked))
        if known is not None:
            answer = await asyncio.shield(known)
            await self._log.ended(asked, answer, alone=False)
            return answer
        if asked.verb in CHANGING and asked.request_id:
            return await self._remembered(asked)
        return await self._done(asked)

    async def _remembered(self, asked: Asked) -> Answer:
        """The answer, which whoever asks again gets too if it was a success."""
        key, future = _key(asked), asyncio.get_running_loop().create_future()
        self._answers[key] = future
        try:
            answer = await self._done(asked)
        except BaseException:
            del self._answers[key]
            future.cancel()
            raise
        future.set_result(answer)
        if answer["status"] == ERROR:
            del self._answers[key]
        while len(self._answers) > _REMEMBERED and next(iter(self._answers.values())).done():
            self._answers.popitem(last=False)
        return answer

    async def _done(self, asked: Asked) -> Answer:
        begun = False
        try:
            request = self._admit(asked)
            if asked.verb in CHANGING:
                await self._log.begun(asked)
                begun = True
            answer = await self._do(asked, request)
        except CronosError as error:
            answer = failure(error)
        except Exception as bug:
            logger.exception("A request on %s failed.", asked.topic)
            answer = failure(_internal(bug))
        return await self._told(asked, answer, begun=begun)

    async def _told(self, asked: Asked, answer: Answer, *, begun: bool) -> Answer:
        """*answer* as it is sent, once it has been noted."""
        tell = logger.info if begun or answer["status"] == ERROR else logger.debug
        tell("%s asked for %s: %s", asked.sender or "Somebody", asked.topic, answer.get("error", "done"))
        await self._log.ended(asked, answer, alone=begun)
        return fitted(answer | {"request_id": asked.request_id}, self._limit_bytes())

    def _admit(self, asked: Asked) -> Request:
        """The request, when it may be done.

        Raises:
            MessageError: It makes no sense, or is too large.
            BusError: The service is being stopped.
        """
        self._require_open(asked)
        try:
            size_bytes = size_of(asked.payload)
        except (TypeError, ValueError, RecursionError) as error:
            raise MessageError(f"The payload is no JSON: {error}.", hint="Send texts, numbers, lists and mappings.") from error
        limit_bytes = self._limit_bytes()
        if size_bytes > limit_bytes:
            raise MessageError(
                f"The message has {size_bytes} bytes; {limit_bytes} are taken.", hint="Say less, or raise `message_limit`."
            )
        return parse(asked)


def _internal(bug: Exception) -> CronosError:
    return CronosError(f"CRONOS failed: {type(bug).__name__}: {bug}", hint="This is a bug; the service's log tells more.")


def _key(asked: Asked) -> tuple[str, ...]:
    return (asked.verb or "", asked.sender, asked.request_id)


class RequestLog:
    """Has requests noted in the operation log, with who asked.

    A request that changes something is noted when it begins and when it has ended. All others (questions, what is refused) are
    noted at once too, but of the same sender, topic and outcome only once a minute, with `count`: who asks every second, or sends
    nonsense, must not fill the disk.
    """

    def __init__(self, note: Note) -> None:
        self._note = note
        self._counts: OrderedDict[tuple[str, ...], _Count] = OrderedDict()

    async def begun(self, asked: Asked) -> None:
        """Note a request that is about to be done."""
        await self._note(_facts(asked), "begun")

    async def ended(self, asked: Asked, answer: Answer, *, alone: bool) -> None:
        """Note how it went.

        Args:
            alone: Not together with its like.
        """
        facts, result = _facts(asked) | _outcome(answer), "failed" if answer["status"] == ERROR else "done"
        if alone:
            await self._note(facts, "interrupted" if answer.get("code") == "interrupted" else result)
            return
        key = (asked.sender, asked.topic, str(answer.get("code", "")))
        count = self._counts.setdefault(key, _Count())
        count.facts, count.result, count.unwritten = facts, result, count.unwritten + 1
        now_s = asyncio.get_running_loop().time()
        if count.written_s is None or now_s - count.written_s >= _TOGETHER_S:
            count.written_s = now_s
            await self._write(count)
        if len(self._counts) > _SENDERS:
            await self._write(self._counts.popitem(last=False)[1])

    async def flush(self) -> None:
        """Note what is counted but not yet written."""
        for count in list(self._counts.values()):
            await self._write(count)

    async def _write(self, count: _Count) -> None:
        number, count.unwritten = count.unwritten, 0
        if number:
            await self._note(count.facts | ({"count": number} if number > 1 else {}), count.result)


class _Count:
    """How often the same was asked with the same outcome since that was written."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.result = ""
        self.unwritten = 0
        self.written_s: float | None = None


def _facts(asked: Asked) -> dict[str, Any]:
    return {"topic": asked.topic, "sender": asked.sender, "request_id": asked.request_id}


def _outcome(answer: Answer) -> dict[str, Any]:
    names = {"error": "error", "code": "code", "backup_id": "backup"}
    return {name: answer[key] for key, name in names.items() if key in answer}
