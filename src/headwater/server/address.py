"""Where the page is served: on this machine alone, on a port that is free."""

import socket
from importlib.util import find_spec

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
    """What to open: the token stands behind the #, which a browser sends to nobody."""
    return f"http://{HOST}:{sock.getsockname()[1]}/#token={session.token}"


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
