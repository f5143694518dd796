"""A class on one network: what this machine is called there, and the address as a picture that phones read."""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec

from headwater.lab.refusal import RefusedError
from headwater.records import InputError
from headwater.server.guard import HOSTS, Session

MOST_LINK = 2000  # characters; a QR code of medium redundancy ends at 2,331 bytes
_FRAGMENT = re.compile(r"[A-Za-z0-9=&._~*:\-]*")

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


@dataclass(frozen=True)
class Classroom:
    """What a class opens.

    Attributes:
        url: The address, token included.
        qr: The same as a picture that phones read, in SVG.
    """

    url: str
    qr: str

    @classmethod
    def of(cls, session: Session, host: str, port: int) -> Classroom:
        """The classroom of a server that listens there."""
        url = class_address(host, port, session.token)
        return cls(url, qr_code(url))

    def opening(self, fragment: str) -> Classroom:
        """The same, opening a lab as a fragment of the page's own describes it.

        Raises:
            RefusedError: If it is none, or too long for a code.
        """
        url = f"{self.url}&{fragment}"
        if not _FRAGMENT.fullmatch(fragment) or len(url) > MOST_LINK:
            raise RefusedError("link", {"most": MOST_LINK})
        return Classroom(url, qr_code(url))

    def to_dict(self) -> dict[str, str]:
        """The JSON form."""
        return {"url": self.url, "qr": self.qr}


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
