"""How often a key and a tenant may ask: counted in the database, told in RateLimit headers, refused with 429."""

from fastapi import Depends, Request
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from api.auth import Caller, Given
from api.problems import Problem
from core.ports.rates import Rate

OF_AN_ADDRESS = RateLimitItemPerMinute(30)


async def limited(request: Request, given: Given, who: Caller) -> None:
    """Count the request, and answer 429 beyond the allowance. Headers as in draft-ietf-httpapi-ratelimit-headers."""
    if given.rates is None:
        return
    rates = await given.rates.hit(who.tenant_id, who.key_id)
    request.state.rate_headers = _headers(rates)
    exceeded = [rate for rate in rates if rate.is_exceeded]
    if exceeded:
        slowest = max(exceeded, key=lambda rate: rate.reset_s)
        detail = (
            f"This {slowest.name} may make {slowest.limit} requests in {slowest.window_s} s; "
            f"ask again in {slowest.reset_s} s."
        )
        raise Problem(429, "too_many_requests", detail, headers={"Retry-After": str(max(1, slowest.reset_s))})


async def limited_by_address(request: Request) -> None:
    """Count what comes without credentials, by the address it comes from, in this process: each sign-in that is begun
    is a row, and each that comes back a call to the provider."""
    limiter: FixedWindowRateLimiter = request.app.state.by_address
    address = request.client.host if request.client is not None else ""
    if not await limiter.hit(OF_AN_ADDRESS, address):
        detail = f"This address may ask {OF_AN_ADDRESS.amount} times a minute; ask again in a minute."
        raise Problem(429, "too_many_requests", detail, headers={"Retry-After": "60"})


def counter_of_addresses() -> FixedWindowRateLimiter:
    """Return what a process counts addresses in."""
    return FixedWindowRateLimiter(MemoryStorage())


LIMITED = [Depends(limited)]
LIMITED_BY_ADDRESS = [Depends(limited_by_address)]


def _headers(rates: list[Rate]) -> dict[str, str]:
    """Return the policies, and what is left of each; the older three fields tell of the tightest."""
    if not rates:
        return {}
    tight = min(rates, key=lambda rate: rate.remaining)
    return {
        "RateLimit-Policy": ", ".join(f'"{rate.name}";q={rate.limit};w={rate.window_s}' for rate in rates),
        "RateLimit": ", ".join(f'"{rate.name}";r={rate.remaining};t={rate.reset_s}' for rate in rates),
        "RateLimit-Limit": str(tight.limit),
        "RateLimit-Remaining": str(tight.remaining),
        "RateLimit-Reset": str(tight.reset_s),
    }
