"""``headwater watch``: a page over a recorded run, while it goes on or afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.cli.options import json_option, language_option, rank_option, traceback_option
from headwater.i18n import text, use_language

if TYPE_CHECKING:
    from headwater.server.guard import Session


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(1, 65535), help="Where to serve; by default the first free one from 7723.")
@click.option("--host", default="127.0.0.1", help="Only this machine is served.", show_default=True)
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    help="Listen at a Unix socket of your own instead of a port, for ssh -L.",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the page in a browser.")
@rank_option
@json_option
@language_option
@traceback_option
def watch(
    run: Path,
    port: int | None,
    host: str,
    socket_path: Path | None,
    open_browser: bool,
    rank: int | None,
    as_json: bool,
    language: str | None,
) -> None:
    """Watch a run in a browser: what is there, and what comes as the training goes on.

    RUN is the folder that hw.watch records into, or a folder of such folders. Nothing but these runs is served, to this
    machine alone, and only to who has the address that is printed.

    \b
    Examples:
      headwater watch runs/a
      headwater watch runs --port 8000
      headwater watch runs --socket ~/headwater.sock

    Exit status: 0 ended, 2 RUN or the port cannot be used, 3 internal error.
    """
    from headwater.cli.recorded import opened
    from headwater.server.address import PORT, address, listening, require_packages, require_this_machine
    from headwater.server.app import serve
    from headwater.server.guard import Session
    from headwater.server.shelf import Shelf

    require_this_machine(host)
    if socket_path is not None and (port is not None or open_browser):
        raise click.UsageError(
            "--socket takes the place of a port, and no browser opens it: leave --port and --open out."
        )
    require_packages()
    with use_language(language):
        shelf = Shelf(run)  # before a port is taken
        if shelf.is_one:
            opened(run, rank)  # or it says which ranks there are, or that a newer version or a sweep has written it
        session = Session()
        if socket_path is not None:
            _serve_at(socket_path.expanduser(), run, session, as_json, language, rank)
            return
        with listening(port) as sock:
            taken = sock.getsockname()[1]
            url = address(sock, session)
            _tell(run, url, PORT if port is None and taken != PORT else None, taken, as_json)
            if open_browser:
                click.launch(url)
            serve(run, sock, session, language, rank)


def _serve_at(path: Path, run: Path, session: Session, as_json: bool, language: str | None, rank: int | None) -> None:
    """Serve at a Unix socket, and take it away at the end."""
    import socket

    from headwater.server.address import PORT, address, listening_at
    from headwater.server.app import serve

    with listening_at(path) as sock:
        try:
            url, here = address(sock, session), str(path.absolute())
            if as_json:
                _tell_json(run, url, socket=here)
            else:
                forward = f"ssh -L {PORT}:{here} USER@{socket.gethostname()}"
                click.echo(text("view.serving_socket", {"run": run.name, "forward": forward, "url": url}))
                click.echo(text("view.serving_stop"), err=True)
            serve(run, sock, session, language, rank)
        finally:
            path.unlink(missing_ok=True)


def _tell(run: Path, url: str, busy: int | None, taken: int, as_json: bool) -> None:
    if as_json:
        _tell_json(run, url)
        return
    if busy is not None:
        click.echo(text("view.busy_port", {"port": str(busy), "taken": str(taken)}), err=True)
    click.echo(text("view.serving", {"run": run.name, "url": url}))
    click.echo(text("view.serving_stop"), err=True)


def _tell_json(run: Path, url: str, **further: str) -> None:
    import json

    click.echo(json.dumps({"schema": "headwater/watching/1", "run": str(run), "url": url, **further}))
