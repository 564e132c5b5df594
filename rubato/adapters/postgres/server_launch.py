"""A program, not a module to import: becomes the process its one argument describes, tied to its parent's life.

It runs between fork and exec in a process of its own, because Python code in a forked child of a threaded parent
(`preexec_fn`) can deadlock. The order of its steps is the point of it:

1. enter the folder while still root, so that a parent folder closed to the server's account does not matter;
2. become the server's account;
3. ask for the parent-death signal, which the kernel forgets on a change of user, hence after 2;
4. leave if the parent died before 3, when no signal will ever come;
5. exec, which keeps both the folder and the death signal.

It is started with `python -I -S`: standard library only.
"""

import ctypes
import json
import os
import signal
import sys
from typing import TypedDict

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Launch(TypedDict):
    """What to become. `uid` and `gid` are None to stay who we are; `death_signal` goes to the program."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    uid: int | None
    gid: int | None
    parent_pid: int
    death_signal: int


def become(launch: Launch) -> None:
    """Replace this process. Returns never, or raises OSError where a step is not permitted."""
    os.chdir(launch["cwd"])
    if launch["uid"] is not None and launch["gid"] is not None:
        os.setgroups([])
        os.setgid(launch["gid"])
        os.setuid(launch["uid"])
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a background shell job starts with it ignored
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, launch["death_signal"], 0, 0, 0):
        raise OSError("prctl(PR_SET_PDEATHSIG) was refused")
    if os.getppid() != launch["parent_pid"]:
        sys.exit("The starting process ended before its server had begun.")
    os.execve(launch["argv"][0], launch["argv"], launch["env"])  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    become(json.loads(sys.argv[1]))
