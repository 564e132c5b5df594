"""Where a saturated worker's time goes: `python -m benchmarks profile`, by py-spy, the worker alone with its target."""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

from benchmarks.jobs import Load
from benchmarks.measuring import PLENTY, WARM_S, Bench
from benchmarks.process import ROOT
from benchmarks.worker import Setup, workers

SECONDS, A_SECOND, SHOWN = 8, 250, 40


def report(bench: Bench) -> str:
    """Return the functions that most samples lie in, and those that most samples end in, with their shares."""
    load = Load(bench.target_url, PLENTY, timedelta(hours=1), timedelta(seconds=-1), timedelta(seconds=1))
    with (
        tempfile.TemporaryDirectory(prefix="rubato-bench-") as folder,
        bench.loaded(load) as url,
        workers(bench.machine, url, Setup()) as made,
    ):
        time.sleep(WARM_S)
        stacks = Path(folder) / "stacks.txt"
        command = [str(Path(sys.executable).parent / "py-spy"), "record", "--format", "raw", "--output", str(stacks)]
        command += ["--duration", str(SECONDS), "--rate", str(A_SECOND), "--pid", str(made[0].pid)]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - a program of our own environment
        return render(stacks.read_text(encoding="utf-8"))


def render(stacks: str) -> str:
    """Return two columns of shares from stacks in py-spy's raw format: `outer;inner count` a line."""
    within, at, total = Counter[str](), Counter[str](), 0
    for line in stacks.splitlines():
        stack, _, number = line.rpartition(" ")
        frames, count = [_name(frame) for frame in stack.split(";")], int(number)
        total += count
        at[frames[-1]] += count
        for frame in set(frames):
            within[frame] += count
    lines = [f"{total} samples", "", "with what they call:"]
    lines += [f"{100 * count / total:5.1f} %  {name}" for name, count in within.most_common(SHOWN)]
    lines += ["", "themselves:"]
    lines += [f"{100 * count / total:5.1f} %  {name}" for name, count in at.most_common(SHOWN)]
    return "\n".join(lines)


def _name(frame: str) -> str:
    """Name a frame by function and file; the line within it says little in a sum."""
    where = frame.replace(f"{ROOT}/", "")
    _, found, rest = where.partition("site-packages/")
    where = f"{where.split(' (')[0]} ({rest}" if found else where
    return where.rsplit(":", 1)[0] + ")" if ":" in where else where
