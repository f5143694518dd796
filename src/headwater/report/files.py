"""What is written to files and streams: JSON with every message in words as well, and files that are never half."""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from headwater.records import InputError, Message, encode
from headwater.report.words import Words

Payload = TypeVar("Payload")


def with_text(record: Any, words: Words) -> Any:
    """The JSON form of a record, with a ``text`` beside the ``id`` and ``values`` of every message.

    The text is the record's and not its JSON form's, which cannot tell a run that is called ``nan`` from a number.
    """
    return _with_text(encode(record), record, words)


def _with_text(data: Any, record: Any, words: Words) -> Any:
    if isinstance(record, Message):
        return {**data, "text": words.say(record)}
    if isinstance(record, (tuple, list)):
        return [_with_text(*pair, words) for pair in zip(data, record, strict=True)]
    if isinstance(record, Mapping):
        return {str(key): _with_text(data[str(key)], item, words) for key, item in record.items()}
    if is_dataclass(record):
        return {key: _with_text(item, getattr(record, key, None), words) for key, item in data.items()}
    return data


def strict_json(data: Any) -> str:
    """Strict JSON of what :func:`~headwater.records.encode` gave."""
    written = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate in a name has no UTF-8 form; its backslash form is its JSON form as well.
    return written.encode("utf-8", "backslashreplace").decode("utf-8")


def read(path: str | os.PathLike[str], from_dict: Callable[[dict[str, Any]], Payload], kind: str) -> Payload:
    """What was saved as JSON.

    Args:
        path: The file.
        from_dict: Makes the payload of its data.
        kind: What it should be: ``report`` or ``trace``.

    Raises:
        InputError: If there is no such file, or it is of another kind.
    """
    try:
        return from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(path)!r}: {error.strerror or error}.") from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise InputError(
            f"{os.fspath(path)!r} is no headwater {kind}: {error}. "
            f'{kind.capitalize()}.load reads what {kind}.save("{kind}.json") wrote.'
        ) from error


def save_as(
    path: str | os.PathLike[str], page: Callable[[], str], data: Callable[[], str], subject: str, name: str
) -> Path:
    """Write an answer as a page or as JSON, whichever the file's ending says.

    Args:
        path: Ends in ``.html`` or in ``.json``.
        page: Makes the HTML page.
        data: Makes the JSON.
        subject: What is saved, with its verb, for the message: ``a report is``.
        name: What a user calls it, for the message: ``report``.

    Raises:
        InputError: For another ending, or a folder that is not there.
    """
    target = Path(path)
    if target.suffix not in (".html", ".json"):
        raise InputError(
            f"{subject} saved as .html or .json, not as {target.name!r}: {name}.save({target.stem + '.html'!r})."
        )
    write_whole(target, page() if target.suffix == ".html" else data() + "\n")
    return target


def write_whole(target: Path, content: str) -> None:
    """Write beside ``target`` and rename over it: a reader sees the old file or the new one, never half of one.

    Raises:
        InputError: If the folder is not there.
    """
    if not target.parent.is_dir():
        raise InputError(f"no folder {str(target.parent)!r} to save {target.name!r} in; make it first.")
    temporary = target.with_name(f".{target.name[:64]}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "x", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
