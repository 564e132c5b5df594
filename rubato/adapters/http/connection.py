"""One connection to one origin, for one tenant: writes a request, reads the answer within its caps.

The bytes are parsed by llhttp, strictly. One exchange at a time; nothing is ever written twice. Whatever a target does
that leaves doubt about where its next answer would begin ends the connection with the exchange.
"""

import asyncio
import select
import time
from dataclasses import dataclass

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

HEAD_CAP = 64 * 1024  # bytes of status line, headers, trailers and framing that are read
HEADER_COUNT = 256  # headers and trailers together
FRAMING = 9  # bytes on the wire for a byte of body at most: chunks of one byte take 6
MOST_PIECES = 8192  # of a body: 256 KiB in chunks of one byte would hold the loop for 70 ms

IDLE_S = 1.5  # kept so long when the server promises nothing: the shortest common promise is gunicorn's 2 s
LONGEST_IDLE_S = 15.0  # and no longer than this whatever it promises
SLACK_S = 1.0  # what a promise is cut by, for the time that a request and a server's farewell are on their way
LIFETIME_S = 300.0  # then the name is resolved and judged again, however busy the connection is

_READ = frozenset(
    {b"content-type", b"content-encoding", b"content-length", b"transfer-encoding", b"retry-after", b"keep-alive"}
)
_SOMETHING = select.POLLIN | select.POLLHUP | select.POLLERR


class BrokenAnswerError(Exception):
    """The target ended or garbled its answer. The message is fit to show."""


@dataclass(slots=True)
class Answer:
    """What came back. `headers` holds those that anyone here reads; `body` at most the cap, as it was on the wire."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes | bytearray
    is_cut: bool
    headers_at: float


class Connection(asyncio.Protocol):
    """A connection that was dialled already. Instants are `time.monotonic()`'s."""

    __slots__ = (
        "_answer",
        "_body",
        "_body_cap",
        "_deadline",
        "_fires_at",
        "_header_count",
        "_headers",
        "_headers_at",
        "_is_complete",
        "_is_confused",
        "_is_head",
        "_keeps",
        "_loop",
        "_parser",
        "_pieces",
        "_poll",
        "_reads_to_end",
        "_received",
        "_status",
        "_timer",
        "_transport",
        "_until",
        "idle_until",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, body_cap: int) -> None:
        self._loop = loop
        self._body_cap = body_cap
        self._until = time.monotonic() + LIFETIME_S
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._parser: HttpResponseParser | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_complete = self._is_confused = self._keeps = False
        self._headers_at = 0.0
        self.idle_until = 0.0

    # the owner's side

    def begin(self, request: bytes, *, is_head: bool, deadline: float) -> "asyncio.Future[Answer]":
        """Write a request; the future ends with the answer, a BrokenAnswerError, or TimeoutError at the deadline."""
        self._is_head = is_head
        self._deadline = deadline
        self._headers: dict[bytes, bytes] = {}
        self._body: bytes | bytearray = b""
        self._received = self._header_count = self._status = self._pieces = 0
        self._headers_at = 0.0
        self._reads_to_end = self._is_complete = self._is_confused = self._keeps = False
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        self._answer = answer = self._loop.create_future()
        if self._transport is None:
            self._fail(BrokenAnswerError("the connection was closed before the request was sent"))
            return answer
        if self._timer is None or deadline < self._fires_at:
            self._watch(deadline)
        self._transport.write(request)
        return answer

    @property
    def is_open(self) -> bool:
        """Whether neither side has closed it, as far as the loop has seen."""
        return self._transport is not None and not self._transport.is_closing()

    def is_quiet(self) -> bool:
        """Tell whether nothing came since the last answer: neither bytes nor an end, read by the loop or not yet."""
        return self.is_open and not self._poll.poll(0)

    def may_be_kept(self) -> bool:
        """Tell whether another request may follow, and set until when."""
        transport = self._transport
        if transport is None or not self._is_complete or not self._keeps or self._is_confused:
            return False
        now = time.monotonic()
        if transport.is_closing() or now > self._until or transport.get_write_buffer_size():
            return False
        promised = self._headers.get(b"keep-alive")
        self.idle_until = now + (IDLE_S if promised is None else _promised_s(promised))
        return self.idle_until > now

    def abort(self) -> None:
        """Close the socket now. Safe at any time."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._stop_timer()
        self._fail(BrokenAnswerError("the connection was given up"))

    # the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # a TCP client's transport is a Transport
        self._poll.register(transport.get_extra_info("socket").fileno(), _SOMETHING)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless nothing was asked."""
        parser = self._parser
        if self._answer is None or parser is None:
            self._is_confused = True
            self.abort()
            return
        self._received += len(data)
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self._break("it switched to another protocol")
        except HttpParserError as error:
            self._break(_words(error))
        else:
            if self._received > HEAD_CAP + FRAMING * len(self._body) and not self._is_complete:
                self._break("its headers or its framing are too long")

    def eof_received(self) -> None:
        """Take the end of the stream as the end of a body that has no other."""
        if self._reads_to_end and not self._is_complete:
            self._is_confused = True
            self._complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what was still awaited."""
        self._transport = self._parser = None  # the parser holds this connection in turn
        self._stop_timer()
        if self._answer is not None:
            when = "the answer was complete" if self._headers_at else "an answer came"
            self._fail(BrokenAnswerError(f"the connection was closed before {when}"))

    # the parser's side

    def on_message_begin(self) -> None:
        """Notice bytes behind an answer."""
        if self._is_complete:
            self._is_confused = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the headers that are read, joined if they come twice; count the rest, and trailers."""
        self._header_count += 1
        if self._header_count > HEADER_COUNT:
            raise BrokenAnswerError("it has too many headers")
        name = name.lower()
        if name in _READ and not self._headers_at:
            before = self._headers.get(name)
            self._headers[name] = value if before is None else before + b", " + value

    def on_headers_complete(self) -> None:
        """Learn how the body ends. Interim answers (1xx) are passed over."""
        if self._is_complete or self._parser is None:
            return
        status = self._parser.get_status_code()
        if not 200 <= status <= 999:
            if status < 100 or status == 101:
                raise BrokenAnswerError(f"its status is {status}")
            self._headers.clear()
            return
        self._status = status
        self._headers_at = time.monotonic()
        if self._is_head:
            self._complete()
            self._parser = None  # it waits for the body that such an answer only describes
            return
        coding = self._headers.get(b"transfer-encoding")
        if coding is not None:
            self._reads_to_end = not coding.lower().endswith(b"chunked")
        else:
            self._reads_to_end = b"content-length" not in self._headers

    def on_body(self, body: bytes) -> None:
        """Keep it up to the cap, in so many pieces at most; what comes beyond either stays unread."""
        if self._is_complete:
            self._is_confused = True
            return
        if not self._body:
            self._body = body
        elif isinstance(self._body, bytes):
            self._body = bytearray(self._body)
            self._body += body
        else:
            self._body += body
        self._pieces += 1
        if len(self._body) > self._body_cap or self._pieces > MOST_PIECES:
            self._is_confused = True
            self._body = self._body[: self._body_cap]
            self._complete(is_cut=True)

    def on_message_complete(self) -> None:
        """End the exchange, unless this was an interim answer or it had ended with its headers."""
        if self._headers_at and not self._is_complete:
            self._complete()

    # ending an exchange

    def _complete(self, *, is_cut: bool = False) -> None:
        self._is_complete = True
        self._keeps = self._parser is not None and self._parser.should_keep_alive()  # llhttp forgets it afterwards
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result(Answer(self._status, self._headers, self._body, is_cut, self._headers_at))
        self._body = b""  # not kept for as long as the connection idles
        if is_cut and self._transport is not None:
            self._transport.abort()

    def _watch(self, deadline: float) -> None:
        """Look at the clock at a deadline. The timer outlives its exchange, so that the next need not set it again."""
        self._stop_timer()
        self._fires_at = deadline
        self._timer = self._loop.call_later(deadline - time.monotonic(), self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._answer is None:
            return
        if self._deadline > time.monotonic():  # a later exchange's, or the loop's clock stood still for a turn of it
            self._watch(self._deadline)
            return
        self._fail(TimeoutError())
        self.abort()

    def _break(self, why: str) -> None:
        self._is_confused = True
        self._fail(BrokenAnswerError(f"the answer is no HTTP that can be read: {why}"))
        self.abort()

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _promised_s(keep_alive: bytes) -> float:
    """Return how long a connection may idle under `Keep-Alive: timeout=5`; 0 or less: not at all."""
    for part in keep_alive.split(b","):
        name, _, value = part.strip().partition(b"=")
        if name.lower() == b"timeout" and value.strip().isdigit():
            return min(LONGEST_IDLE_S, float(value[:9]) - SLACK_S)
    return IDLE_S


def _words(error: HttpParserError) -> str:
    cause = error.__context__
    return str(cause if isinstance(cause, BrokenAnswerError) else error)[:200] or type(error).__name__
