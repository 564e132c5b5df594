"""The server's log file: bounded, private, and quoted where a start fails."""

import os
from pathlib import Path

ROTATE_BYTES = 10_000_000
TAIL_BYTES = 2_000


class ServerLog:
    """Appends to one file, keeping one older generation. Made anew at each start; `tail` quotes since then."""

    def __init__(self, path: Path) -> None:
        """Open the file for appending. OSError where that is not permitted."""
        self.path = path
        if path.exists() and path.stat().st_size > ROTATE_BYTES:
            path.replace(path.with_suffix(".log.1"))
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.descriptor = os.open(path, flags, 0o600)
        self._began_at_byte = os.fstat(self.descriptor).st_size

    def tail(self) -> str:
        """Return at most the last 2,000 bytes written since this log was opened."""
        size = os.fstat(self.descriptor).st_size
        start = max(self._began_at_byte, size - TAIL_BYTES)
        return os.pread(self.descriptor, size - start, start).decode(errors="replace").strip()

    def close(self) -> None:
        """Close our descriptor; the server keeps its own."""
        os.close(self.descriptor)
