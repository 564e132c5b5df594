"""Which buckets a worker claims from, where workers claim by token: ranges of them, leased, so that two never meet.

Nothing but speed hangs on it. A worker that goes on claiming from a range which is another's by now loses a race for
some rows, since every claim is compared with the row's token; it gets no job that another one has.

A worker says that it is there, counts the others who are, and takes its share of the ranges that nobody holds; what it
has beyond its share it gives back, and others find it at their next turn.
"""

from collections.abc import Sequence
from datetime import timedelta

from core.ids import BUCKETS
from core.record import record
from rubato.adapters.postgres.engine import Engine, linked

RANGE = 4  # buckets leased together: 64 ranges, so that more workers than that find no work of their own
LEASE = timedelta(seconds=10)  # a dead worker's buckets rest so long, besides the leases of its jobs
TURN = timedelta(seconds=2)  # between two looks: buckets that change hands rest so long at the most

_CHECK_IN = """
    INSERT INTO bucket_claimers AS known (worker_id, until) VALUES ($1, statement_timestamp() + $2)
    ON CONFLICT (worker_id) DO UPDATE SET until = excluded.until
    """
_FORGET = "DELETE FROM bucket_claimers WHERE until < statement_timestamp() - interval '1 minute'"
_LOOK = """
    SELECT bucket, token, coalesce(holder = $1, false) AS is_mine,
           coalesce(until <= statement_timestamp(), true) AS is_free,
           (SELECT count(*) FROM bucket_claimers WHERE until > statement_timestamp()) AS claimers
    FROM bucket_ranges ORDER BY bucket
    """
# Compare-and-set on the token that was read; a range that another worker took meanwhile is missing from the answer.
_HOLD = """
    UPDATE bucket_ranges r SET holder = $1, until = statement_timestamp() + $2, token = r.token + 1
    FROM unnest($3::smallint[], $4::bigint[]) AS wanted (bucket, token)
    WHERE r.bucket = wanted.bucket AND r.token = wanted.token
    RETURNING r.bucket
    """
_GIVE_BACK = """
    UPDATE bucket_ranges SET holder = NULL, until = NULL, token = token + 1
    WHERE holder = $1 AND ($2::smallint[] IS NULL OR bucket = ANY($2))
    """
_LEAVE = "DELETE FROM bucket_claimers WHERE worker_id = $1"


@record
class Range:
    """A range as it was read, named by its first bucket."""

    bucket: int
    token: int
    is_mine: bool
    is_free: bool


class BucketRanges:
    """The ranges of one worker."""

    def __init__(self, engine: Engine, worker_id: str) -> None:
        self._engine, self._worker_id = engine, worker_id

    async def hold(self) -> list[int]:
        """Prolong what this worker has, take or give back what its share asks for; return its buckets.

        Raises Unavailable.
        """
        async with linked(self._engine) as link:
            await link.execute(_CHECK_IN, self._worker_id, LEASE)
            await link.execute(_FORGET)
            rows = await link.fetch(_LOOK, self._worker_id)
            found = [Range(row["bucket"], row["token"], row["is_mine"], row["is_free"]) for row in rows]
            keep, drop = divide(found, rows[0]["claimers"])
            if drop:
                await link.execute(_GIVE_BACK, self._worker_id, drop)
            tokens = {each.bucket: each.token for each in found}
            held = await link.fetch(_HOLD, self._worker_id, LEASE, keep, [tokens[bucket] for bucket in keep])
        return sorted(first + offset for first in (row["bucket"] for row in held) for offset in range(RANGE))

    async def leave(self) -> None:
        """Give everything back, as a worker does that ends. Raises Unavailable."""
        async with linked(self._engine) as link:
            await link.execute(_GIVE_BACK, self._worker_id, None)
            await link.execute(_LEAVE, self._worker_id)


def divide(found: Sequence[Range], claimers: int) -> tuple[list[int], list[int]]:
    """Return which ranges to hold, and which to give back, so that nobody has more than an even share."""
    share = -(-BUCKETS // RANGE // max(1, claimers))
    mine = [each.bucket for each in found if each.is_mine]
    free = [each.bucket for each in found if each.is_free and not each.is_mine]
    kept = mine[:share]
    return sorted(kept + free[: share - len(kept)]), mine[share:]
