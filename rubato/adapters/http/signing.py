"""The dispatcher port: signs what it sends, as Standard Webhooks has it, or does not send it at all."""

from datetime import datetime

from standardwebhooks import Webhook

from core.errors import RubatoError
from core.ports.clock import Clock
from core.ports.dispatcher import Dispatcher, HttpRequest, HttpResult
from core.ports.signing import SigningSecrets


class SigningDispatcher:
    """Gives each request its tenant's secrets; what writes the request signs it: only there its bytes are known."""

    def __init__(self, inner: Dispatcher, secrets: SigningSecrets, clock: Clock) -> None:
        self._inner, self._secrets, self._clock = inner, secrets, clock

    async def send(self, request: HttpRequest) -> HttpResult:
        """Send it signed, if its tenant has secrets."""
        try:
            secrets = await self._secrets.values(request.tenant_id)
        except RubatoError as error:
            detail = f"The request was not sent, since it could not be signed: {error}"
            return HttpResult(status_code=None, duration_ms=0, error=detail, error_code="signing")
        if secrets:
            request = request._replace(signing_secrets=secrets, sent_at=self._clock.now())
        return await self._inner.send(request)

    async def close(self) -> None:
        """Close what sends."""
        await self._inner.close()


def signature_lines(secrets: tuple[str, ...], webhook_id: str, at: datetime, body: bytes) -> bytes:
    """Return the header lines that sign a body: its time, and a signature by each secret. Raises ValueError for a body
    that is no UTF-8 or a secret that is none."""
    signatures = [Webhook(secret).sign(webhook_id, at, body.decode()) for secret in secrets]
    return f"webhook-timestamp: {int(at.timestamp())}\r\nwebhook-signature: {' '.join(signatures)}\r\n".encode()
