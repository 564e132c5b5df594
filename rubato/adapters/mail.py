"""The mail port: SMTP by the standard library, in a thread, under a deadline."""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from core.errors import ConfigurationError

DEADLINE_S = 20.0
_SUBMISSION, _TLS = 587, 465


class SmtpMail:
    """Sends through one server: `smtps://` speaks TLS from the start, `smtp://` changes to it, except on loopback.

    Raises ConfigurationError for an address that is none.
    """

    def __init__(self, url: str, sender: str, *, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ConfigurationError(
                "RUBATO_SMTP_URL is no mail server's address; it looks like smtp://user:password@mail.example.com:587."
            )
        if "@" not in parseaddr(sender)[1]:
            raise ConfigurationError("RUBATO_SMTP_FROM is no e-mail address; mails need one to come from.")
        self._host, self._is_tls = parts.hostname, parts.scheme == "smtps"
        self._port = parts.port or (_TLS if self._is_tls else _SUBMISSION)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._sender, self._context = sender, tls or ssl.create_default_context()

    async def send(self, *, to: str, subject: str, text: str, message_id: str) -> str | None:
        """Send it; return why it could not be sent, or None."""
        message = EmailMessage()
        try:
            message["From"], message["To"], message["Subject"] = self._sender, to, " ".join(subject.split())
            message["Message-ID"] = f"<{message_id}@rubato>"  # the same at every try, so that a double shows
            message["Date"] = formatdate(usegmt=True)
            message["Auto-Submitted"] = "auto-generated"
            message.set_content(text)
        except ValueError as error:
            return f"the mail cannot be written: {error}"
        try:
            async with asyncio.timeout(DEADLINE_S + 5):
                await asyncio.to_thread(self._deliver, message)
        except (OSError, smtplib.SMTPException, TimeoutError) as error:
            return f"the mail server did not take it: {_brief(error)}"
        return None

    def _deliver(self, message: EmailMessage) -> None:
        if self._is_tls:
            client: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=DEADLINE_S, context=self._context)
        else:
            client = smtplib.SMTP(self._host, self._port, timeout=DEADLINE_S)
        with client:
            if not self._is_tls and not _is_loopback(self._host):
                client.starttls(context=self._context)
            if self._user:
                client.login(self._user, self._password)
            client.send_message(message)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _brief(error: BaseException) -> str:
    code = getattr(error, "smtp_code", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__
