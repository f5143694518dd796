"""A class on one network: what this machine is called there, and the address as a picture that phones read."""

from __future__ import annotations

import socket
from contextlib import suppress
from importlib.util import find_spec

from headwater.records import InputError
from headwater.server.guard import HOSTS

_ELSEWHERE = ("10.255.255.255", 1)  # asked for a route only: nothing is sent


def own_addresses() -> list[str]:
    """Addresses at which others on the network reach this machine, the usual one first."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):  # no network at all
        probe.connect(_ELSEWHERE)
        found.append(probe.getsockname()[0])
    with suppress(OSError):
        found += socket.gethostbyname_ex(socket.gethostname())[2]
    return [one for one in dict.fromkeys(found) if not one.startswith("127.")]


def served_names(host: str) -> frozenset[str]:
    """The names a browser may ask for; a page elsewhere cannot make another name resolve to here and pass."""
    if host in HOSTS:
        return HOSTS
    own = own_addresses() if host in ("0.0.0.0", "::") else [host]
    return HOSTS | {socket.gethostname().lower(), *own}


def class_address(host: str, port: int, token: str) -> str:
    """What a class opens."""
    own = own_addresses() if host in ("0.0.0.0", "::") else [host]
    return f"http://{own[0] if own else socket.gethostname()}:{port}/#token={token}"


def qr_code(text: str) -> str:
    """The text as a QR code, in SVG.

    Raises:
        InputError: Without the package that draws it.
    """
    require_qr()
    import segno

    written: str = segno.make(text, error="m").svg_inline(scale=8, border=4, dark="#000", light="#fff")
    return written


def require_qr() -> None:
    """Say what is missing before a class is served.

    Raises:
        InputError: If the package that draws QR codes is.
    """
    if find_spec("segno") is None:
        raise InputError('a class needs a QR code, and segno draws it: pip install "headwater[lab]"')


def require_data() -> None:
    """Say what is missing before a lab is opened.

    Raises:
        InputError: If the package that brings the data is.
    """
    if find_spec("sklearn") is None:
        raise InputError('the data of the lab come with scikit-learn: pip install "headwater[lab]"')
