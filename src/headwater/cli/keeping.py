"""Where finished runs are kept until a proof is done: in the user's cache, so that nothing lands beside their files."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import click

from headwater.i18n import text
from headwater.records import InputError


def journal_file(command: str, words: Sequence[object], resume: bool) -> Path:
    """The journal of a command with these arguments; without ``resume`` it begins anew.

    It is found by the arguments and gone on with only if the experiment gives what it gave then.

    Raises:
        InputError: If there is no place to keep it.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headwater" / "journals"
    name = hashlib.blake2b("\n".join(map(str, (command, Path.cwd(), *words))).encode(), digest_size=8).hexdigest()
    path = cache / f"{command}-{name}.jsonl"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if not resume:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"finished runs cannot be kept in {cache} ({error.strerror}): set XDG_CACHE_HOME to another folder."
        ) from error
    if resume and path.exists():
        click.echo(text("cli.resumed", {"count": max(path.read_bytes().count(b"\n") - 1, 0)}), err=True)
    return path
