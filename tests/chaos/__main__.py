"""`python -m tests.chaos chaos|soak|herd`: the long runs, on a PostgreSQL of their own. Exit code 1: a bar was missed."""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rubato.adapters.postgres.embedded import EmbeddedPostgres
from rubato.adapters.postgres.engine import connect
from rubato.adapters.postgres.migrate import migrate
from tests.chaos.analysis import judge, percentile
from tests.chaos.director import Scale, run_chaos
from tests.chaos.herd import herd_report, run_herd
from tests.chaos.report import RECOVERY_BAR_S, chaos_report, is_good, total_report
from tests.chaos.soak import run_soak, soak_report


def say(line: str) -> None:
    """Tell the person who waits."""
    print(line, flush=True)  # noqa: T201 - a program's output


@contextmanager
def fresh_database() -> Iterator[tuple[str, Path]]:
    """Serve a migrated database and a folder for the length of the block.

    Commits are synchronous, as in production; only fsync is off: no fault here takes the machine down.
    """
    with tempfile.TemporaryDirectory(prefix="rubato-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedPostgres(folder / "pg", settings={"fsync": "off"}) as server:
            asyncio.run(_migrate(server.url))
            yield server.url, folder


async def _migrate(url: str) -> None:
    engine = connect(url, application="chaos")
    await migrate(engine)
    await engine.dispose()


def chaos(options: argparse.Namespace) -> bool:
    """Kill, stop and end workers, round after round on a fresh database; print each ledger, and their sum."""
    good, total = True, Counter[str]()
    recovery_s: list[float] = []
    for number in range(options.rounds):
        scale = Scale(
            seconds=options.seconds,
            workers=options.workers,
            jobs=options.jobs,
            kills=options.kills,
            stops=options.stops,
            terms=options.terms,
            seed=options.seed + number,
        )
        with fresh_database() as (url, folder):
            outcome = asyncio.run(run_chaos(url, folder, scale, say=say))
        told = judge(outcome.evidence)
        say(chaos_report(outcome, told) + "\n")
        good = good and is_good(outcome, told)
        recovery_s += told.recovery_s
        total.update(outcome.faults)
        total.update(
            {
                "requests": told.sent,
                "committed": told.committed,
                "lost": len(told.lost),
                "doubled": told.doubled,
                "sent and not committed at a fault": told.open_at_faults,
                "stale writes accepted": len(told.stale) + len(told.changed),
            }
        )
    say(total_report(total, recovery_s))
    enough = total["requests"] >= options.requests
    if not enough:
        say(f"\n  only {total['requests']} requests; {options.requests} were asked for: more --jobs or --seconds")
    return good and enough and percentile(recovery_s, 0.99) <= RECOVERY_BAR_S


def soak(options: argparse.Namespace) -> bool:
    """Load a worker steadily; print what grew."""
    with fresh_database() as (url, folder):
        soaked = asyncio.run(
            run_soak(url, folder, minutes=options.minutes, jobs=options.jobs, every_s=options.every, seed=options.seed)
        )
    say(soak_report(soaked))
    return all(good for good, _ in soaked.verdicts().values())


def herd(options: argparse.Namespace) -> bool:
    """Let everything fall due in one second; print how late it was."""
    with fresh_database() as (url, folder):
        found = asyncio.run(run_herd(url, folder, jobs=options.jobs, seed=options.seed))
    say(herd_report(found))
    return found.is_whole


def main() -> int:
    """Read the command line, run, and say how it went."""
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    kinds = parser.add_subparsers(required=True)
    one = kinds.add_parser("chaos", help="kill -9, SIGSTOP beyond the lease, SIGTERM")
    one.add_argument("--rounds", type=int, default=3, help="each on a fresh database, with the next seed")
    one.add_argument("--seconds", type=float, default=125.0, help="how long faults go on in a round")
    one.add_argument("--workers", type=int, default=8)
    one.add_argument("--jobs", type=int, default=400)
    one.add_argument("--kills", type=int, default=105, help="in a round, as the next two")
    one.add_argument("--stops", type=int, default=18)
    one.add_argument("--terms", type=int, default=4)
    one.add_argument("--requests", type=int, default=30_000, help="the least in all that counts")
    one.add_argument("--seed", type=int, default=1)
    one.set_defaults(run=chaos)
    two = kinds.add_parser("soak", help="a steady load: memory, connections, dead rows")
    two.add_argument("--minutes", type=float, default=20.0)
    two.add_argument("--jobs", type=int, default=200)
    two.add_argument("--every", type=float, default=2.0, help="seconds between two runs of a job")
    two.add_argument("--seed", type=int, default=1)
    two.set_defaults(run=soak)
    three = kinds.add_parser("herd", help="everything due in one second")
    three.add_argument("--jobs", type=int, default=10_000)
    three.add_argument("--seed", type=int, default=1)
    three.set_defaults(run=herd)
    options = parser.parse_args()
    good = options.run(options)
    say(f"\n  {'every bar holds' if good else 'a bar was missed'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
