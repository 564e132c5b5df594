"""Tools of Debian's that tests need: found, or installed when missing, or skipped where apt is impossible."""

import functools
import os
import shutil
import subprocess

import pytest

INSTALL_S = 300


@functools.cache
def tool(command: str, package: str) -> str:
    """Return a command's path; install its package, or skip with the reason where that cannot be done."""
    found = shutil.which(command)
    if found is None:
        reason = _install(package)
        found = shutil.which(command)
        if found is None:
            pytest.skip(f"there is no {command} here, and apt could not install {package}: {reason}")
    return found


def _install(package: str) -> str:
    """Install a package without starting services; return why it failed, if it did."""
    if shutil.which("apt-get") is None:
        return "no apt-get"
    if os.geteuid() != 0:
        return "not root"
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    said = ""
    for command in (("update",), ("install", "-y", "-q", "--no-install-recommends", package)):
        try:
            ended = subprocess.run(
                ["apt-get", *command], env=quiet, capture_output=True, text=True, timeout=INSTALL_S, check=False
            )
        except subprocess.TimeoutExpired:
            return f"apt-get {command[0]} took more than {INSTALL_S} s"
        said = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
    return said
