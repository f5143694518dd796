"""A lab as people start it: ``headwater lab`` in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE_S = 90.0  # that a machine with much else to do may take; how quick a lab is has a test of its own


@dataclass
class Laboratory:
    """A running lab.

    Attributes:
        address: What the command printed, token included.
        process: The command.
    """

    address: str
    process: subprocess.Popen[str]

    def url(self, fragment: str = "") -> str:
        """The address with a part of the page's own behind the token."""
        return f"{self.address}&{fragment}" if fragment else self.address


@contextmanager
def laboratory(*options: str) -> Iterator[Laboratory]:
    """Start ``headwater lab``, and end it."""
    command = [sys.executable, "-m", "headwater", "lab", "--no-open", *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    watchdog = threading.Timer(PATIENCE_S, process.kill)
    watchdog.start()
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+/\S*#token=\S+", line)
            if found:
                watchdog.cancel()
                yield Laboratory(found.group(), process)
                return
        raise AssertionError(f"headwater lab printed no address: {''.join(said)}")
    finally:
        watchdog.cancel()
        process.terminate()
        process.wait(timeout=60)
