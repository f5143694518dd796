"""What to say where a framework is not installed."""

from headwater.records import InputError


class MissingExtraError(InputError, ImportError):
    """A package that an integration needs is not there; the message has the command that installs it."""


def missing(package: str, extra: str, error: ImportError) -> MissingExtraError:
    """The error to raise.

    Args:
        package: As its users call it.
        extra: Of headwater, which brings it.
        error: What importing it came to: a package that is there may lack another.
    """
    return MissingExtraError(
        f'headwater.integrations.{extra} needs {package} ({error}): pip install "headwater[{extra}]"'
    )
