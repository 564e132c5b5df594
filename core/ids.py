"""Ids: what they encode, so that a look-up needs no extra index."""

import hashlib
import zlib
from datetime import UTC, datetime, timedelta

BUCKETS = 256  # claims can be limited to a set of them; it stands in every key and must never change

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case: sorts like the numbers
_SLOT_CHARS = 11  # 55 bits of microseconds: until the year 3111


def bucket_of(job_id: str) -> int:
    """Return the bucket, 0 to 255, that a job's rows live in; the same in every process for ever."""
    return zlib.crc32(job_id.encode()) % BUCKETS


def job_id(created_at: datetime, entropy: str) -> str:
    """Return a job's id: sorts by creation."""
    return f"job_{_encode(created_at)}{entropy}"


def hint_id(created_at: datetime, entropy: str) -> str:
    """Return a hint's id: sorts by creation."""
    return f"hint_{_encode(created_at)}{entropy}"


def entry_id(at: datetime, entropy: str) -> str:
    """Return the id of a line of history: sorts by time."""
    return f"chg_{_encode(at)}{entropy}"


def session_id(created_at: datetime, entropy: str) -> str:
    """Return a session's id: sorts by creation."""
    return f"ses_{_encode(created_at)}{entropy}"


def rule_id(created_at: datetime, entropy: str) -> str:
    """Return a rule's id: sorts by creation."""
    return f"rule_{_encode(created_at)}{entropy}"


def audit_id(created_at: datetime, entropy: str) -> str:
    """Return an audit entry's id: sorts by creation."""
    return f"aud_{_encode(created_at)}{entropy}"


def run_id(slot: datetime, entropy: str) -> str:
    """Return a run's id. It begins with the slot, which is half of the run's key in the store."""
    return f"run_{_encode(slot)}{entropy}"


def webhook_id(job_id: str, slot: datetime, trigger: str, request: str = "") -> str:
    """Return what a target sees as `webhook-id`: the same for every attempt at a slot. `request`: a manual run's id."""
    digest = hashlib.blake2b(f"{job_id}|{slot.isoformat()}|{trigger}|{request}".encode(), digest_size=16)
    return f"msg_{digest.hexdigest()}"


def slot_of(run_id: str) -> datetime | None:
    """Return the slot that a run's id encodes, or None when it is no run id."""
    encoded = run_id.removeprefix("run_")
    if len(encoded) != _SLOT_CHARS + 16 or encoded == run_id:
        return None
    micros = 0
    for char in encoded[:_SLOT_CHARS]:
        digit = _ALPHABET.find(char)
        if digit < 0:
            return None
        micros = micros * 32 + digit
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return None


def _encode(at: datetime) -> str:
    micros = (at - _EPOCH) // timedelta(microseconds=1)
    if micros < 0:
        raise ValueError(f"an id cannot encode an instant before 1970: {at.isoformat()}")
    chars = []
    for _ in range(_SLOT_CHARS):
        micros, digit = divmod(micros, 32)
        chars.append(_ALPHABET[digit])
    return "".join(reversed(chars))
