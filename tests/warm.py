"""A process that has torch and headwater loaded and forks for each command, which saves the seconds that loading takes.

A fork has descriptors, an environment, an exit status and an end of its own, as a command typed has; only what is
loaded is shared. Nothing is run before a fork, neither a kernel nor a backward pass: a fork would lose their threads.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import sysconfig
from collections.abc import Mapping
from typing import NoReturn

LOADED = ("headwater.api", "headwater.demo", "headwater.kernels.cpu", "headwater.lessons", "headwater.cli.main")


def serve(channel: socket.socket) -> list[str]:
    """Fork for each request on ``channel`` until it is closed; returns in the fork, with the command's arguments."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, 1 << 20, 2)
        if not request:
            sys.exit()
        asked = json.loads(request)
        if child := os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            channel.sendall(b"%d" % child)
            channel.sendall(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            continue
        channel.close()
        _stand_in_a_shell(asked["folder"], asked["environment"], descriptors)
        return asked["arguments"]


def _stand_in_a_shell(folder: str, environment: Mapping[str, str], outputs: list[int]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for target, descriptor in enumerate(outputs, start=1):
        os.dup2(descriptor, target)
        os.close(descriptor)
    named = [os.path.abspath(path) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[1:1] = [path for path in named if path not in sys.path]


def main() -> NoReturn:
    """Load what commands load, and be each of them."""
    import gc
    from importlib import import_module

    sys.path[0] = sysconfig.get_path("scripts")  # as for the script itself; the tests' folder is not importable
    for module in LOADED:
        import_module(module)
    gc.freeze()  # what is loaded stays to the end, and no fork has to look through it
    sys.argv = ["headwater", *serve(socket.socket(fileno=int(sys.argv[1])))]
    sys.exit(sys.modules["headwater.cli.main"].main())


if __name__ == "__main__":
    main()
