"""A lock on a folder that the kernel releases when its last holder dies, however it dies."""

import fcntl
import os
from pathlib import Path


class FolderLock:
    """An exclusive `flock` on one file.

    The lock belongs to the open file, not to a process id: it cannot go stale, and it holds across containers
    that share the folder. The descriptor is close-on-exec, so a child holds the lock only where it is passed on
    purpose. Acquire and release are safe twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock without waiting. False: somebody else holds it. OSError: the file cannot be opened."""
        if self._descriptor is not None:
            return True
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Close our copy. The lock stays held while a process we passed the descriptor to still lives."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def fileno(self) -> int:
        """Return the descriptor, to pass to a child. ValueError before `acquire`."""
        if self._descriptor is None:
            raise ValueError(f"{self.path} is not locked")
        return self._descriptor

    def write_holder(self) -> None:
        """Write our process id into the file, for the message a second starter gets."""
        os.ftruncate(self.fileno(), 0)
        os.pwrite(self.fileno(), f"{os.getpid()}\n".encode(), 0)

    def holder(self) -> str:
        """Return the process id the present holder wrote, or "unknown" in the instant before it did."""
        return self.path.read_text().strip() or "unknown"
