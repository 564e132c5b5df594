"""`make audit`: known vulnerabilities in what is pinned. Says so, and passes, where advisories are out of reach."""

import subprocess
import sys

from tests.processes import ROOT

OUT_OF_REACH = (
    "ConnectionError",
    "Could not connect",
    "Max retries exceeded",
    "ServiceError",
    "timed out",
    "403",
    "404",
)
PATIENCE_S = 120


def main() -> int:
    """Return the exit code: 1 for a vulnerability."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "requirements/runtime.txt")]
    command += ["--require-hashes", "--disable-pip", "--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return skipped(f"no answer within {PATIENCE_S} s")
    if done.returncode and any(sign in done.stderr for sign in OUT_OF_REACH) and "vulnerabilit" not in done.stderr:
        return skipped(done.stderr.strip().splitlines()[-1][:200])
    print(done.stdout + done.stderr)  # noqa: T201 - the report
    return done.returncode


def skipped(why: str) -> int:
    """Say that nothing was looked at."""
    print(f"SKIPPED: the advisories cannot be reached, so nothing was audited ({why})")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
