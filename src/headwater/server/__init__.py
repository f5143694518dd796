"""The page over recorded runs that a browser on this machine watches; needs ``pip install "headwater[lab]"``."""

from headwater.server.address import require_packages as require_packages
from headwater.server.beside import serve_beside as serve_beside
