"""How often a key and a tenant may ask: counted in the database, told in RateLimit headers, refused with 429."""

from fastapi import Depends, Request

from api.auth import Caller, Given
from api.problems import Problem
from core.ports.rates import Rate


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


LIMITED = [Depends(limited)]


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
