"""What to say where a framework is not installed."""

from headwater.records import InputError


class MissingExtraError(InputError, ImportError):
    """A package that an integration needs is not there; the message has the command that installs it."""


def missing(package: str, extra: str) -> MissingExtraError:
    """The error to raise.

    Args:
        package: As its users call it.
        extra: Of headwater, which brings it.
    """
    return MissingExtraError(f'headwater.integrations.{extra} needs {package}: pip install "headwater[{extra}]"')
