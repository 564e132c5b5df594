"""Failures by their class: what kind of trouble it is, before which message it has."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from core.ports.insights import FailureGroup

CLASSES = {  # name -> what it means, in the order in which a reader may tell them apart
    "Server error": "The target answered with a status of 500 or more.",
    "Refused by the target": "The target answered with a status of 400 to 499.",
    "Unexpected answer": "The target answered, and not as the job's success rule or a 2xx status wants.",
    "Timed out": "No whole answer came within the job's timeout.",
    "No connection": "The target could not be reached: its name, its address, its port or its TLS.",
    "Blocked": "The request was not sent, since its address is not one that jobs may call.",
    "Target function": "A registered function failed.",
    "Other": "Everything else; the message says what.",
}
_TIMED_OUT = re.compile(r"timed out", re.IGNORECASE)
_BLOCKED = re.compile(r"blocked|not allowed|not public|forbidden address", re.IGNORECASE)
_CONNECTION = re.compile(r"connect|resolve|dns|tls|certificate|refused|reset|unreachable|name", re.IGNORECASE)
_EXCEPTION = re.compile(r"^\w+(Error|Exception|Warning|Exit|Interrupt): ")


@dataclass(frozen=True, slots=True)
class FailureClass:
    """A class with its groups, the most frequent first."""

    name: str
    meaning: str
    count: int
    jobs: int
    last_at: datetime
    groups: tuple[FailureGroup, ...]


def class_of(group: FailureGroup) -> str:
    """Return the class of a group, by its status code or else by the words of its message."""
    message = group.error_message or ""
    if group.status_code is not None:
        if group.status_code >= 500:
            return "Server error"
        return "Refused by the target" if group.status_code >= 400 else "Unexpected answer"
    if _TIMED_OUT.search(message):
        return "Timed out"
    if _BLOCKED.search(message):
        return "Blocked"
    if _EXCEPTION.match(message):
        return "Target function"
    return "No connection" if _CONNECTION.search(message) else "Other"


def by_class(groups: Iterable[FailureGroup]) -> list[FailureClass]:
    """Return the classes, the one that failed last first."""
    found: dict[str, list[FailureGroup]] = {}
    for group in groups:
        found.setdefault(class_of(group), []).append(group)
    classes = [
        FailureClass(
            name=name,
            meaning=CLASSES[name],
            count=sum(each.count for each in members),
            jobs=len({job_id for each in members for job_id in each.job_ids}),
            last_at=max(each.last_at for each in members),
            groups=tuple(members),
        )
        for name, members in found.items()
    ]
    return sorted(classes, key=lambda each: each.last_at, reverse=True)
