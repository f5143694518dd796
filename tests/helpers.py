"""What several tests need."""

import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "headwater"
EXAMPLES = ROOT / "examples"


def python(code: str) -> str:
    """What ``code`` prints in an interpreter that has imported nothing yet."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def typed(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the ``headwater`` script as a user types it, in an interpreter that has loaded nothing yet."""
    script = Path(sysconfig.get_path("scripts"), "headwater")
    return subprocess.run(
        [script, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def headwater(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own that was forked where torch is loaded already (``tests/warm.py``)."""
    if sys.platform != "linux":
        return typed(*arguments, cwd=cwd, **environment)
    request = {"arguments": arguments, "folder": str(cwd), "environment": {**os.environ, **environment}}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        _, channel = _warm()
        socket.send_fds(channel, [json.dumps(request).encode()], [out.fileno(), err.fileno()])
        status = _status_of_the_fork(channel, arguments)
        out.seek(0), err.seek(0)
        return subprocess.CompletedProcess(arguments, status, out.read().decode(), err.read().decode())


@functools.cache
def _warm() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A warm process of this one's own, and the channel to it, with whose end it ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, Path(__file__).with_name("warm.py"), str(theirs.fileno())]
        null = subprocess.DEVNULL
        return subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=null, stdout=null), ours


def _status_of_the_fork(channel: socket.socket, arguments: tuple[str, ...], timeout_s: float = 240) -> int:
    child = int(channel.recv(64))
    answered, _, _ = select.select([channel], [], [], timeout_s)
    if not answered:
        os.kill(child, signal.SIGKILL)
    status = int(channel.recv(64))
    if not answered:
        raise subprocess.TimeoutExpired(arguments, timeout_s)
    return status


def heed_ctrl_c() -> None:
    """For ``preexec_fn``: a shell that started the tests in the background has its children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def files_under(folder: Path) -> set[str]:
    """Every file below ``folder``, by its relative path."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of records that also refuses what it does not name, so that a field too many is caught here."""
    definitions = {name: {**kind, "additionalProperties": False} for name, kind in schema["$defs"].items()}
    return {**schema, "$defs": definitions}


def with_generated(page: Path, source: str, generated: str) -> str:
    """The text of ``page`` with ``generated`` as its part ``<!-- generated from source: ... -->``."""
    head, start, rest = page.read_text(encoding="utf-8").partition(f"<!-- generated from {source}: ")
    command, _, rest = rest.partition(" -->\n")
    _, end, tail = rest.partition("<!-- end of the generated part -->")
    assert start, f"{page.name} has no part generated from {source}"
    assert end, f"{page.name}: the part generated from {source} has no end"
    return f"{head}{start}{command} -->\n\n{generated.strip()}\n\n{end}{tail}"


def schema_violations(report: dict[str, Any], kind: str = "report") -> list[str]:
    """Where a report departs from the schema as shipped and documented, not as the code at hand would make it.

    The schema lets newer versions add fields; what this version writes is all in it.
    """
    schema = json.loads((SOURCE / "report" / f"{kind}.schema.json").read_text(encoding="utf-8"))
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(closed(schema)).iter_errors(report)]
