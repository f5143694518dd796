"""A change written into a user's file, and taken out again.

The change is a block of its own between two marks: the patch inside one function, so that it shares no name with the
file, and one line that gives the experiment's name to the repaired experiment. Whatever the file does is not touched.
A backup stands beside the file before anything is written.
"""

import ast
import io
import os
import re
import secrets
import tokenize
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path

from headwater.records import InputError

BEGIN = "# >>> headwater fix"
END = "# <<< headwater fix"
_FUNCTION = "_headwater_fix"
_GAPS = ("", "\n", "\n\n", "\n\n\n")


@dataclass(frozen=True)
class Undone:
    """What taking a change out came to.

    Attributes:
        backup: The file as it was before the change; gone if the file is the same again.
        same: Whether it is.
    """

    backup: Path | None
    same: bool


def block(name: str, patch: str, title: str, file: str) -> str:
    """The lines that make ``name`` the repaired experiment, or a function that returns it repaired.

    Args:
        name: Of the experiment, or of the function that returns it.
        patch: Code with ``repair`` and perhaps ``repair_optimizer``.
        title: What the change is, for the first line.
        file: What the file is called, for the line that undoes it.
    """
    body = "\n".join(f"    {line}" if line else "" for line in patch.rstrip("\n").split("\n"))
    optimizer = ", repair_optimizer" if re.search(r"^def repair_optimizer\(", patch, flags=re.MULTILINE) else ""
    return f"""{BEGIN}: {title}. Take it out with: headwater fix --undo {file}
def {_FUNCTION}(found):
    import functools
{body}

    def fixed(experiment):
        return experiment.repaired(repair{optimizer})

    if not callable(found):
        return fixed(found)

    @functools.wraps(found)
    def function(*args, **kwargs):
        return fixed(found(*args, **kwargs))

    return function


{name} = {_FUNCTION}({name})
{END}
"""


def write(path: Path, name: str, added: str) -> Path:
    """Put a block into a file, behind all that makes ``name`` and before what runs only as a script.

    Returns:
        The backup.

    Raises:
        InputError: If the file cannot be read or written, or would be no Python any more; then it is as it was.
    """
    source, encoding, newline = _read(path)
    changed = _inserted(source, name, added)
    try:
        compile(changed, str(path), "exec")
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{path} was left as it is: the change does not fit in ({error}).") from error
    stamp = datetime.now().strftime("%Y%m%dT%H%M%S%f")
    backup = path.with_name(f"{path.name}.orig-{stamp}")
    try:
        backup.write_bytes(path.read_bytes())
        backup.chmod(path.stat().st_mode)
        _replace(path, _bytes(changed, encoding, newline))
    except (OSError, UnicodeError) as error:
        raise InputError(f"cannot write {path}: {error}. It is as it was.") from error
    return backup


def undo(path: Path) -> Undone:
    """Take the last block out of a file.

    What was changed elsewhere in it since stays; if nothing was, the file is the same again, byte by byte, and its
    backup goes.

    Raises:
        InputError: If there is no such block, or the file cannot be read or written.
    """
    source, encoding, newline = _read(path)
    found = list(re.finditer(rf"(?ms)^{re.escape(BEGIN)}.*?^{re.escape(END)}\n?", source))
    if not found:
        raise InputError(f"there is no change of headwater fix in {path}, so there is nothing to undo.")
    before, after = source[: found[-1].start()], source[found[-1].end() :]
    backups = sorted(path.parent.glob(f"{path.name}.orig-*"))
    backup = backups[-1] if backups else None
    try:
        original = backup.read_bytes() if backup is not None else None
        for above, below in product(_GAPS, _GAPS):
            restored = _bytes(before.removesuffix(above) + after.removeprefix(below), encoding, newline)
            if backup is not None and restored == original:
                backup.replace(path)
                return Undone(None, same=True)
        _replace(path, _bytes(_joined(before, after), encoding, newline))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}.") from error
    return Undone(backup, same=False)


def _inserted(source: str, name: str, added: str) -> str:
    """The source with the block at its end, or before an ``if __name__ == "__main__":`` that stands behind the name."""
    lines = source.split("\n")
    body = ast.parse(source).body
    named = [node.lineno for node in body if name in _binds(node)]
    guards = [node.lineno for node in body if _is_guard(node) and node.lineno > max(named, default=0)]
    if not guards:
        end = "" if source.endswith("\n") or not source else "\n"
        return f"{source}{end}\n\n{added}"
    at = guards[0] - 1
    while at > 0 and lines[at - 1].startswith("#"):  # a comment belongs to the line below it
        at -= 1
    return "".join(f"{line}\n" for line in lines[:at]) + f"{added}\n\n" + "\n".join(lines[at:])


def _joined(before: str, after: str) -> str:
    """What stood on both sides of a block, two blank lines between them."""
    before, after = before.rstrip("\n") + "\n", after.lstrip("\n")
    return f"{before}\n\n{after}" if after else before


def _binds(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name for alias in node.names}
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _is_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) and "__main__" in ast.unparse(node.test)


def _read(path: Path) -> tuple[str, str, str]:
    """A file's source with ``\\n``, its encoding, and how its lines end."""
    try:
        data = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        source = data.decode(encoding)
    except (OSError, SyntaxError, UnicodeError) as error:
        raise InputError(f"cannot read {path}: {error}.") from error
    newline = "\r\n" if "\r\n" in source else "\n"
    return source.replace("\r\n", "\n"), encoding, newline


def _bytes(source: str, encoding: str, newline: str) -> bytes:
    return source.replace("\n", newline).encode(encoding)


def _replace(path: Path, content: bytes) -> None:
    """Write beside and rename over: the file is the old one or the new one, never half of one."""
    temporary = path.with_name(f".{path.name[:64]}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(path.stat().st_mode)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
