"""Work on a Ray cluster, with the face that ``processes.workers`` has; what is lost with a node is done again."""

from __future__ import annotations

import logging
import pickle
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from headwater.records import InputError

Engine = Literal["local", "ray"]
Result = TypeVar("Result")

RETRIES = 3  # of a call whose worker or node is gone
_PATIENCE_S = 5.0


class RayWorkers:
    """The workers of a cluster, that calls are handed to.

    Args:
        ray: The connected package.
        prepare: Called in each worker before anything else.
        arguments: What it is called with.
    """

    def __init__(self, ray: Any, prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._ray = ray
        self._prepared = ray.put(pickle.dumps((prepare, arguments)))
        self._remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_call)

    @property
    def processors(self) -> int:
        """Of the whole cluster."""
        return max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have ``function(*arguments)`` computed by a worker; both travel by pickle."""
        theirs: Future[Any] = self._remote.remote(self._prepared, function, arguments).future()
        ours: Future[Result] = Future()
        theirs.add_done_callback(lambda done: self._hand_on(done, ours))
        return ours

    def _hand_on(self, done: Future[Any], ours: Future[Result]) -> None:
        error = done.exception()
        if error is None:
            ours.set_result(done.result())
        elif isinstance(error, self._ray.exceptions.RayTaskError):  # what the function raised
            ours.set_exception(error.cause if isinstance(error.cause, Exception) else error)
        else:
            ours.set_exception(BrokenProcessPool(str(error)))


@contextmanager
def ray_workers(
    prepare: Callable[..., None], arguments: tuple[Any, ...] = (), address: str | None = None
) -> Iterator[RayWorkers]:
    """Workers of a cluster until the block ends.

    Args:
        prepare: Called in each before anything else; it travels by pickle.
        arguments: What it is called with.
        address: Of the cluster; see :func:`cluster`.

    Raises:
        InputError: If Ray is not installed or the cluster cannot be reached.
    """
    with cluster(address) as ray:
        yield RayWorkers(ray, prepare, arguments)


_prepared_with = b""


def _call(prepared: bytes, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """On a worker, which is prepared once."""
    global _prepared_with
    if _prepared_with != prepared:
        prepare, given = pickle.loads(prepared)
        prepare(*given)
        _prepared_with = prepared
    return function(*arguments)


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected until the block ends; a cluster that was connected to before stays so.

    Args:
        address: ``HOST:PORT``, or ``auto`` for the one of this machine; by default what ``RAY_ADDRESS`` names, else one
            that is started here and ends with the block.

    Raises:
        InputError: If Ray is not installed or the cluster cannot be reached.
    """
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    _check_reachable(address)
    started_here = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **started_here)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(_unreachable(address, str(error).splitlines()[0] if str(error) else "")) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError('engine "ray" needs Ray: pip install "headwater[ray]".') from error
    return ray


def _check_reachable(address: str | None) -> None:
    """Ray itself waits for half a minute and longer."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(_unreachable(address, getattr(error, "strerror", None) or str(error))) from error


def _unreachable(address: str | None, why: str) -> str:
    return (
        f"no Ray cluster answers at {address or 'RAY_ADDRESS'} ({why}): start one with `ray start --head` and give the "
        "address it prints, or leave --address out for one on this machine."
    )
