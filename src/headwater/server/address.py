"""Where the page is served: on this machine alone, on a port that is free."""

import errno
import os
import socket
import stat
from importlib.util import find_spec
from pathlib import Path

from headwater.records import InputError
from headwater.server.guard import Session

HOST = "127.0.0.1"
PORT = 7723  # unassigned; what the page asks for where nobody names another
_TRIES = 20


def listening(port: int | None = None, host: str = HOST) -> socket.socket:
    """A socket that listens at ``port``, or at the first free one from the usual on.

    Args:
        port: Which, ``None`` for any.
        host: Address to listen at; by default only this machine reaches it.

    Raises:
        InputError: If the port that was asked for cannot be had, or the host is none of this machine's.
    """
    if port is not None:
        try:
            return _bound(port, host)
        except socket.gaierror as error:
            raise _no_host(host, error) from error
        except OSError as error:
            raise InputError(
                f"port {port} cannot be used ({error.strerror or error}): choose another, --port {port + 1}, "
                "or leave --port out and a free one is taken."
            ) from error
    for candidate in range(PORT, PORT + _TRIES):
        try:
            return _bound(candidate, host)
        except OSError:
            continue
    try:
        return _bound(0, host)
    except OSError as error:
        raise _no_host(host, error) from error


def listening_at(path: Path) -> socket.socket:
    """A Unix socket at ``path`` that nobody but this user may connect to (mode 0600).

    One that a killed server has left behind is taken over; whatever else is there stays.

    Args:
        path: Where; at most some hundred characters, which the system sets.

    Raises:
        InputError: If the system knows no Unix sockets, something else is there, or it cannot be made.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise InputError("this system has no Unix sockets: leave --socket out, and a port of this machine is taken.")
    _remove_if_left_behind(path)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        found.bind(str(path))
        found.listen(64)
    except OSError as error:
        found.close()
        raise InputError(
            f"--socket {path} cannot be made ({error.strerror or error}): name a short path in a folder of yours."
        ) from error
    finally:
        os.umask(before)
    return found


def _remove_if_left_behind(path: Path) -> None:
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if is_socket and probe.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink()
            return
    what = "another server listens there" if is_socket else "there is a file, which is left as it is"
    raise InputError(f"--socket {path} cannot be used: {what}. Choose another path.")


def require_this_machine(host: str) -> None:
    """Refuse to serve anybody else.

    Raises:
        InputError: Always, unless ``host`` is this machine; the message has the command that reaches it from another.
    """
    if host not in (HOST, "localhost"):
        raise InputError(
            f"--host {host} would show the run to everybody who reaches this machine, and is refused. From another "
            f"one, forward the port: ssh -L {PORT}:{HOST}:{PORT} USER@THIS-MACHINE, and open the address there."
        )


def address(sock: socket.socket, session: Session) -> str:
    """What to open: the token stands behind the #, which a browser sends to nobody.

    A Unix socket has no port; a browser reaches it by the usual one, which ``ssh -L`` forwards.
    """
    name = sock.getsockname()
    return f"http://{HOST}:{name[1] if isinstance(name, tuple) else PORT}/#token={session.token}"


def require_packages() -> None:
    """Say what is missing before anything is begun; nothing is imported for that.

    Raises:
        InputError: If starlette or uvicorn is.
    """
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise InputError(f'the live page needs {" and ".join(missing)}: pip install "headwater[lab]"')


def _no_host(host: str, error: OSError) -> InputError:
    return InputError(
        f"host {host} cannot be used ({error.strerror or error}): --host 127.0.0.1 serves this machine alone, --host "
        "0.0.0.0 everybody on its network."
    )


def _bound(port: int, host: str) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(64)
    except BaseException:
        found.close()
        raise
    return found
