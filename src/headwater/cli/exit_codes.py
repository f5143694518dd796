"""What the exit status says; scripts and CI jobs rely on it."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Every status ``headwater`` ends with."""

    HEALTHY = 0
    """Healthy, or done."""
    FINDINGS = 1
    """Something was found, or what was measured does not allow a verdict: not a pass in either case."""
    USAGE = 2
    """The command line, or what it names, cannot be used; nothing was written."""
    INTERNAL = 3
    """An error of headwater's own."""
    INTERRUPTED = 130
    """Ctrl-C, as shells number it; SIGTERM too."""


PROOF_EXIT_CODES = {
    "proven": ExitCode.HEALTHY,
    "nothing_to_fix": ExitCode.HEALTHY,
    "not_proven": ExitCode.FINDINGS,
    "harmful": ExitCode.FINDINGS,
}

VERDICT_EXIT_CODES = {
    "healthy": ExitCode.HEALTHY,
    "findings": ExitCode.FINDINGS,
    "cannot_tell": ExitCode.FINDINGS,
}
