"""A page beside a training: a process of its own, so that the training's steps take as long as without it.

The parent opens the port and knows the address at once; the child is handed the open socket, and the token through a
pipe, where no list of processes shows it. When the parent ends, that pipe closes and the child ends too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from headwater.server.address import address, listening, require_packages
from headwater.server.guard import Session

_CODE = "from headwater.server.beside import main; main()"

_pages: list[subprocess.Popen[bytes]] = []  # they live as long as this process


def serve_beside(root: Path) -> str:
    """Serve a run that is being recorded; gives the address to open.

    Args:
        root: The run's folder.

    Raises:
        InputError: Without the packages it needs.
    """
    require_packages()
    _pages[:] = [page for page in _pages if page.poll() is None]
    session, sock = Session(), listening()
    with sock:
        descriptor = sock.fileno()
        child = subprocess.Popen(
            [sys.executable, "-c", _CODE, str(descriptor), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            start_new_session=True,  # Ctrl-C is for the training
        )
        found = address(sock, session)
    assert child.stdin is not None
    child.stdin.write(session.token.encode() + b"\n")
    child.stdin.flush()
    _pages.append(child)
    return found


def main() -> None:
    """The child: serve until the parent has gone."""
    import socket

    from headwater.server.app import serve  # here, and not in the process that trains

    token = sys.stdin.buffer.readline().decode().strip()
    sock = socket.socket(fileno=int(sys.argv[1]))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    serve(Path(sys.argv[2]), sock, Session(token))


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
