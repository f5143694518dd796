"""``--html FILE``: whether it can be written is found out before anything runs."""

import tempfile
from pathlib import Path
from typing import Any, Protocol

from headwater.records import InputError


class Savable(Protocol):
    """What knows how to write itself to a file."""

    def save(self, path: Path, language: str | None = None) -> Any: ...


def why_not_writable(page: Path) -> str:
    """Why no page could be written there, ``""`` if one could: found by making a file beside it, as saving will.

    Permissions alone do not tell: in a folder such as ``/proc``, even the administrator makes no file.
    """
    try:
        page.stat()  # where the name itself is impossible, this says so
    except FileNotFoundError:
        pass
    except OSError as error:
        return f"{error.strerror}: {page}"
    try:
        with tempfile.NamedTemporaryFile(dir=page.parent, prefix=".headwater.", suffix=".tmp"):
            return ""
    except OSError as error:
        return f"no file can be made in the folder {page.parent} ({error.strerror}): choose another one"


def save_text(content: str, page: Path) -> None:
    """Write a page that is made already.

    Raises:
        InputError: If the disk is full, the folder has gone meanwhile, or the like.
    """
    from headwater.report.files import write_whole

    try:
        write_whole(page, content)
    except OSError as error:
        raise InputError(f"cannot write {page}: {error.strerror or error}.") from error


def save_page(report: Savable, page: Path, language: str | None) -> None:
    """Write the report as a page.

    Raises:
        InputError: If the disk is full, the folder has gone meanwhile, or the like.
    """
    try:
        report.save(page, language=language)
    except OSError as error:
        raise InputError(f"cannot write {page}: {error.strerror or error}.") from error
