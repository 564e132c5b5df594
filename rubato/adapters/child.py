"""A process of its own for what has killed workers before: it is asked on its standard input, answers on its output.

Neither stands in a list of processes. Limits of the kernel's hold it, and an alarm ends it if its parent is gone.
"""

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence

from core.errors import IsolatedRunError, Unavailable

START_S = 10.0  # what a process may take to start and to end, beyond the work's own deadline, on a busy machine
AT_ONCE = 4  # processes; all that was out with a killer comes here after its second murder, and must not kill by number


async def ask(command: Sequence[str], question: bytes, *, limit_s: float, env: Mapping[str, str]) -> bytes:
    """Start the command, ask it, and return its answer. Cancelling this ends the process.

    Raises Unavailable when it cannot be started, which is this machine's trouble; IsolatedRunError when it died or did
    not end in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(error.strerror or type(error).__name__) from error
    try:
        async with asyncio.timeout(limit_s):
            answer, said = await process.communicate(question)
    except TimeoutError:
        raise IsolatedRunError(f"its process did not end within {limit_s:g} s and was killed") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise IsolatedRunError(_how(process.returncode, said))
    return answer


def bound(limit_s: float, *, address_space: int | None = None, open_files: int | None = None) -> None:
    """Let the kernel end this process: by its memory in bytes, its files, its CPU, and the clock, whether or not its
    parent lives."""
    if address_space is not None:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    if open_files is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cpu_s = int(limit_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    signal.alarm(int(limit_s) + 1)


def python_path() -> str:
    """Return what a Python of ours needs to find the same packages."""
    return os.pathsep.join(path for path in sys.path if path)


def _how(returncode: int, said: bytes) -> str:
    if returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = str(-returncode)
        return f"its process was ended by {name}"
    lines = said.decode(errors="replace").strip().splitlines()
    last = lines[-1].partition(":")[0][:100] if lines else "it said nothing"  # the rest may quote the question
    return f"its process exited with {returncode} ({last})"
