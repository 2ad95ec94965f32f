"""Bounds of what a client may do: who it is, how much it sends, how often and how slowly."""

import asyncio
import hmac
import time
from collections import Counter, OrderedDict
from typing import Any

__all__ = ["Guard"]

_OPEN = ("/", "/health", "/page.js", "/page.css")  # hold no data
_MOST_CLIENTS = 1024
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """ASGI middleware that refuses requests before they cost anything.

    Args:
        app: what answers the others.
        token: what ``Authorization: Bearer`` must hold, compared in constant time; None for none.
        hosts: names that ``Host`` may have, so that no page on the web reaches the service through
            a name of its own, with IPv6 addresses in brackets; None for any.
        max_body: bytes of a body.
        max_rate: requests a second of a client, with as many at once.
        body_seconds: in which a body must arrive.
    """

    def __init__(
        self,
        app: Any,
        token: str | None,
        hosts: tuple[str, ...] | None,
        max_body: int,
        max_rate: float,
        body_seconds: float = 30.0,
    ) -> None:
        self.app = app
        self.hosts = None if hosts is None else {_name(host) for host in hosts}
        self.max_body, self.max_rate, self.body_seconds = max_body, max_rate, body_seconds
        self.requests: Counter[int] = Counter()  # by status
        self._token = None if token is None else f"Bearer {token}".encode()
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()  # allowance, time

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def answer(message: dict) -> None:
            if message["type"] == "http.response.start":
                self.requests[message["status"]] += 1
                own = [] if scope["path"] == "/docs" else _HEADERS  # docs bring their own script
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None and scope["method"] == "POST":
            try:
                body = await asyncio.wait_for(self._body(receive), self.body_seconds)
            except TimeoutError:
                refusal = (408, f"The body did not arrive within {self.body_seconds:g} seconds.")
            else:
                receive = _replay(body) if body is not None else receive
                if body is None:
                    refusal = (413, f"Expected a body of {self.max_body} bytes or fewer.")
        if refusal is None:
            await self.app(scope, receive, answer)
        else:
            await _refuse(answer, *refusal)

    def _refusal(self, scope: dict) -> tuple[int, str] | None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self.hosts is not None and _name(host) not in self.hosts:
            return 421, "The service is called by the name of this machine alone."
        if not self._may_ask(scope["client"][0] if scope["client"] else ""):
            return 429, f"Expected {self.max_rate:g} requests a second or fewer."
        given = headers.get(b"authorization", b"")
        closed = self._token is not None and scope["path"] not in _OPEN
        if closed and not hmac.compare_digest(given, self._token or b""):
            return 401, "Expected the header 'Authorization: Bearer TOKEN'."
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.max_body:
            return 413, f"Expected a body of {self.max_body} bytes or fewer."
        return None

    def _may_ask(self, client: str) -> bool:
        """Take one from the allowance of a client, which grows with time."""
        now = time.monotonic()
        allowance, before = self._clients.pop(client, (self.max_rate, now))
        allowance = min(self.max_rate, allowance + (now - before) * self.max_rate)
        may = allowance >= 1
        self._clients[client] = (allowance - may, now)
        if len(self._clients) > _MOST_CLIENTS:
            self._clients.popitem(last=False)
        return may

    async def _body(self, receive: Any) -> bytes | None:
        """The body; None if it is too large, or the client went away."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            more = message.get("more_body", False)
            if size > self.max_body:
                return None
        return b"".join(parts)


def _replay(body: bytes) -> Any:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # until the answer is sent
        return {"type": "http.disconnect"}

    return receive


def _name(host: str) -> str:
    """A host without its port, in small letters."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


async def _refuse(send: Any, status: int, text: str) -> None:
    body = f'{{"detail":"{text}"}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if status == 429:
        headers.append((b"retry-after", b"1"))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
