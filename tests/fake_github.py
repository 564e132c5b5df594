"""A GitHub on loopback: it consents to whatever it is asked for, and checks what a careful one checks."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit


@dataclass
class FakeGitHub:
    """A GitHub that grants whatever it is asked for, to `user`, and checks what a careful one checks."""

    url: str = ""
    user: dict[str, Any] = field(default_factory=lambda: {"id": 1, "login": "octocat", "name": "Mona"})
    organisations: list[str] = field(default_factory=list)
    challenges: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    asked: list[dict[str, str]] = field(default_factory=list)

    def authorise(self, url: str) -> str:
        """Be the person's browser at GitHub: consent, and return where it sends them back to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.asked.append(query)
        code = f"code{len(self.asked)}"
        self.challenges[code] = query["code_challenge"]
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def exchange(self, form: dict[str, str]) -> dict[str, str]:
        challenge = self.challenges.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if challenge != base64.urlsafe_b64encode(digest).decode().rstrip("="):
            return {"error": "bad_verification_code", "error_description": "The code is incorrect or expired."}
        token = f"gho_{len(self.asked)}"
        self.tokens.add(token)
        return {"access_token": token, "token_type": "bearer", "scope": "read:user"}


@contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    """Serve one for the length of the block; its OAuth app is `client` with the secret `hunter2`."""
    fake = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            form = {name: values[0] for name, values in parse_qs(raw).items()}
            basic = self.headers.get("authorization", "").removeprefix("Basic ")
            known = base64.b64decode(basic or "").decode() == "client:hunter2"
            self._answer(200, fake.exchange(form) if known else {"error": "incorrect_client_credentials"})

        def do_GET(self) -> None:
            if self.path.startswith("/login/oauth/authorize?"):  # a browser comes here; it consents at once
                self.send_response(302)
                self.send_header("location", fake.authorise(self.path))
                self.send_header("content-length", "0")
                self.end_headers()
                return
            token = self.headers.get("authorization", "").removeprefix("Bearer ")
            if token not in fake.tokens:
                self._answer(401, {"message": "Bad credentials"})
            elif self.path == "/api/v3/user":
                self._answer(200, fake.user)
            else:
                self._answer(200, [{"login": name} for name in fake.organisations])

        def _answer(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Keep the test's output for the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
