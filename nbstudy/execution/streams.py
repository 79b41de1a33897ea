"""Standard output and error: what cannot be printed is lost, and nothing else is."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import Any

SECONDS_WAITED = 2  # for a reader that is slow, where the stream itself does not wait
NAMES = {1: "standard output", 2: "standard error"}


def print_without_failing() -> None:
    """Make sure that printing never ends a command: runs take hours, and a terminal can go away in a second.

    Characters that a stream cannot encode are printed as escapes. What a full disk, a closed stream or a pipe
    without a reader does not take is lost, which the other stream says once.
    """
    hold_standard_descriptors()
    if sys.stdout is not None:
        sys.stdout = forgiving(sys.stdout, 1)
    if sys.stderr is not None:
        sys.stderr = forgiving(sys.stderr, 2)


def hold_standard_descriptors() -> None:
    """Open the null device in place of closed standard streams: else the next file takes their numbers.

    A kernel inherits these numbers, and what it prints would end up in that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def forgiving(stream: Any, number: int) -> io.TextIOWrapper:
    """Return a stream that writes where this one did, as far as that is possible."""
    return io.TextIOWrapper(
        io.BufferedWriter(Descriptor(number)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
    )


class Descriptor(io.FileIO):
    """A standard stream that drops what cannot be written."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.has_failed = False

    def write(self, content: Any) -> int:
        """Write bytes, or drop them; return how many are done with."""
        try:
            written = super().write(content)
            if written is None:  # it is full, and was set not to wait, as some programs that start others do
                self.wait_for_reader()
                written = super().write(content)
            if written is None:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            return written
        except OSError as error:
            if not self.has_failed:
                self.has_failed = True
                self.tell_the_other(error)
            return len(content)

    def wait_for_reader(self) -> None:
        """Wait until more can be written, but not for long, and not again once something was lost."""
        if not self.has_failed:
            select.select([], [self], [], SECONDS_WAITED)

    def tell_the_other(self, error: OSError) -> None:
        """Say on the other standard stream, if that can be, that this one takes nothing."""
        news = f"{NAMES[self.fileno()]}: {error.strerror}; what is printed there from now on is lost\n"
        with suppress(OSError):
            os.write(3 - self.fileno(), news.encode())
