"""The rates port: how many requests a key and a tenant may still make."""

from typing import Protocol

from core.record import record


@record
class Rate:
    """One allowance after a request was counted. `name`: key or tenant; `window_s`: its length; `reset_s`: how long
    until it begins anew."""

    name: str
    limit: int
    window_s: int
    remaining: int
    reset_s: int
    is_exceeded: bool


class Rates(Protocol):
    """Counts requests, over all processes together."""

    async def hit(self, tenant_id: str, key_id: str | None) -> list[Rate]:
        """Count one request; return the allowances it was counted in."""
        ...
