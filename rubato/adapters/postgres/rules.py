"""Rules in rows: read when a job has any, kept by the sequence that its schedule names: settling seldom asks twice."""

import contextlib
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from core.entities import Author, HintKind, Job, RuleState
from core.errors import NotFound
from core.ids import bucket_of
from core.ports.store import JobRef
from core.predicates import Predicate, parse, plain
from core.rules import Hold, Rule, Terms
from rubato.adapters.postgres import bulk, tables
from rubato.adapters.postgres.codec import Row, key, ms
from rubato.adapters.postgres.engine import Link

_MS = timedelta(milliseconds=1)

READ_RULES = """
    SELECT r.*
    FROM unnest($1::text[], $2::smallint[], $3::text[]) AS wanted (tenant_id, bucket, job_id)
    JOIN rules r ON r.tenant_id = wanted.tenant_id AND r.bucket = wanted.bucket AND r.job_id = wanted.job_id
    ORDER BY r.id
    """
PUT_RULES = bulk.upsert(tables.rules)
DELETE_RULES = bulk.delete(tables.rules)


class Rulebooks:
    """The rules read last. A job's sequence rises with each change of its rules, under the job's lock, so none of them
    is ever out of date."""

    def __init__(self, size: int = 2_000) -> None:
        self._size = size
        self._kept: OrderedDict[tuple[JobRef, int], tuple[Rule, ...]] = OrderedDict()

    async def of(self, link: Link, jobs: Mapping[JobRef, Job]) -> dict[JobRef, tuple[Rule, ...]]:
        """Return the rules of those jobs that ever had any; no statement where none did, or all are known."""
        wanted = {ref: job.schedule.rules_seq for ref, job in jobs.items() if job.schedule.rules_seq}
        if not wanted:
            return {}
        missing = [ref for ref, seq in wanted.items() if (ref, seq) not in self._kept]
        found: dict[JobRef, list[Rule]] = {ref: [] for ref in missing}
        if missing:
            where = [ref.tenant_id for ref in missing], [bucket_of(ref.job_id) for ref in missing]
            for row in await link.fetch(READ_RULES, *where, [ref.job_id for ref in missing]):
                with contextlib.suppress(ValueError):  # one row that cannot be read must not keep others from settling
                    found[JobRef(row["tenant_id"], row["job_id"])].append(rule_from(row))
        answer = {}
        for ref, seq in wanted.items():
            answer[ref] = tuple(found[ref]) if ref in found else self._kept[ref, seq]
            self._kept[ref, seq] = answer[ref]
            self._kept.move_to_end((ref, seq))
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return answer


async def rules_of(connection: AsyncConnection, tenant_id: str, job_id: str) -> list[Rule]:
    """Return a job's rules, oldest first."""
    rules, own = tables.rules, key(tenant_id, job_id)
    statement = rules.select().where(*(rules.c[name] == value for name, value in own.items())).order_by(rules.c.id)
    return [rule_from(row) for row in (await connection.execute(statement)).mappings().all()]


async def one_rule(connection: AsyncConnection, tenant_id: str, rule_id: str) -> Rule:
    """Return one rule. Raises NotFound."""
    rules = tables.rules
    statement = rules.select().where(rules.c.tenant_id == tenant_id, rules.c.id == rule_id)
    row = (await connection.execute(statement)).mappings().first()
    if row is None:
        raise NotFound(f"There is no rule {rule_id}.")
    return rule_from(row)


def rule_to(rule: Rule) -> dict[str, Any]:
    """Write a rule's columns."""
    terms = rule.terms
    return {
        **key(rule.tenant_id, rule.job_id),
        "id": rule.id,
        "state": rule.state.value,
        "author": rule.author.value,
        "session_id": rule.session_id,
        "description": rule.description,
        "enter_when": plain(terms.when),
        "enter_runs": terms.enter.runs,
        "enter_ms": ms(terms.enter.time),
        "leave_when": plain(terms.until) if terms.until is not None else None,
        "leave_runs": terms.leave.runs,
        "leave_ms": ms(terms.leave.time),
        "kind": terms.kind.value,
        "length_ms": ms(terms.length),
        "ttl_ms": ms(terms.ttl),
        "reason": terms.reason,
        "created_at": rule.created_at,
        "updated_at": rule.updated_at,
    }


def rule_from(row: Row) -> Rule:
    """Read a rule. Raises ValueError for one that this release does not understand."""
    return Rule(
        id=row["id"],
        tenant_id=row["tenant_id"],
        job_id=row["job_id"],
        state=RuleState(row["state"]),
        author=Author(row["author"]),
        terms=Terms(
            when=_predicate(row["enter_when"]),
            kind=HintKind(row["kind"]),
            length=row["length_ms"] * _MS,
            ttl=row["ttl_ms"] * _MS,
            reason=row["reason"],
            enter=Hold(row["enter_runs"], row["enter_ms"] * _MS),
            until=_predicate(row["leave_when"]) if row["leave_when"] is not None else None,
            leave=Hold(row["leave_runs"], row["leave_ms"] * _MS),
        ),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        description=row["description"],
        session_id=row["session_id"],
    )


def _predicate(stored: Any) -> Predicate:
    predicate, issues = parse(stored, "")
    if predicate is None:
        raise ValueError(f"a stored rule has no condition: {issues}")
    return predicate
