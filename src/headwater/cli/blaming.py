"""Errors of the code that is run: shown as the user's own, with their line, and told from headwater's."""

import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headwater.cli.locating import module_call
from headwater.records import InputError

HEADWATER = Path(__file__).parents[1]


@contextmanager
def calling(what_failed: str, path: Path | None, name: str) -> Iterator[None]:
    """Turn any error of the user's code into an InputError that shows it, with the line in ``path`` that led to it.

    ``name`` is what was asked for in ``path``: advice on how to run the file otherwise asks for it again.
    """
    try:
        yield
    except SystemExit as error:
        raise InputError(
            f"{what_failed}: it ended the program (SystemExit: {error.code}).{_line(error, path)}\n"
            'Keep what trains or reads arguments under `if __name__ == "__main__":`.'
        ) from error
    except Exception as error:
        described = traceback.format_exception_only(error)[-1].strip()
        raise InputError(
            f"{what_failed}: {described}{_line(error, path)}{_import_advice(error, path, name)}"
        ) from error


@contextmanager
def running_code_of(path: Path, name: str) -> Iterator[None]:
    """Tell errors of the user's code, which headwater calls, from headwater's own, and pass on the latter.

    Raises:
        InputError: If an error left the user's code; the message has the error and its line.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        if not _left_users_code(error, path):
            raise
        with calling("the code that was to be checked stopped with an error", path, name):
            raise


def _line(error: BaseException, path: Path | None) -> str:
    """Where the error left the user's file, else the last line that is no library's; a SyntaxError knows its own."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:  # neither is known of a NUL byte
        return f"\n  {error.filename}, line {error.lineno}: {(error.text or '').strip()}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if path is not None and frame.filename == str(path)]
    users = [frame for frame in frames if not _is_library(file := Path(frame.filename)) and not _is_ours(file)]
    shown = own or users or [frame for frame in frames if _is_readable(Path(frame.filename))]
    if not shown:  # Python itself could not read the file
        return f"\n  {path}" if path is not None else ""
    frame = shown[-1]
    return f"\n  {frame.filename}, line {frame.lineno}: {frame.line}"


def _left_users_code(error: BaseException, path: Path) -> bool:
    """Whether the last code to run that is no library's, stdlib's or torch's, was the user's and not headwater's."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if _is_ours(file):
            return False
        if file.parent == path.parent or not _is_library(file):
            return True
    return False


def _is_readable(file: Path) -> bool:
    """Not headwater's, nor a part of Python that has no source at hand (``<frozen importlib._bootstrap>``)."""
    return file.is_absolute() and not _is_ours(file)


def _is_ours(file: Path) -> bool:
    return file.is_relative_to(HEADWATER)


def _is_library(file: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & set(file.parts)
    return bool(installed) or not file.is_absolute() or file.is_relative_to(sysconfig.get_path("stdlib"))


def _import_advice(error: Exception, path: Path | None, name: str) -> str:
    if path is None or "relative import" not in str(error):
        return ""
    return f"\nA file that imports from its own package is run by its module's name: {module_call(path, name)}"
