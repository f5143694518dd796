"""``headwater watch``: a page over a recorded run, while it goes on or afterwards."""

from __future__ import annotations

from pathlib import Path

import click

from headwater.cli.options import json_option, language_option, rank_option, traceback_option
from headwater.i18n import text, use_language


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(1, 65535), help="Where to serve; by default the first free one from 7723.")
@click.option("--host", default="127.0.0.1", help="Only this machine is served.", show_default=True)
@click.option("--open", "open_browser", is_flag=True, help="Open the page in a browser.")
@rank_option
@json_option
@language_option
@traceback_option
def watch(
    run: Path,
    port: int | None,
    host: str,
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

    Exit status: 0 ended, 2 RUN or the port cannot be used, 3 internal error.
    """
    from headwater.recorded import open_run
    from headwater.server.address import PORT, address, listening, require_packages, require_this_machine
    from headwater.server.app import serve
    from headwater.server.guard import Session
    from headwater.server.shelf import Shelf

    require_this_machine(host)
    require_packages()
    with use_language(language):
        shelf = Shelf(run)  # before a port is taken
        if shelf.is_one:
            open_run(run, rank)  # or it says which ranks there are, or that a newer version has written it
        session = Session()
        with listening(port) as sock:
            taken = sock.getsockname()[1]
            url = address(sock, session)
            _tell(run, url, PORT if port is None and taken != PORT else None, taken, as_json)
            if open_browser:
                click.launch(url)
            serve(run, sock, session, language, rank)


def _tell(run: Path, url: str, busy: int | None, taken: int, as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps({"schema": "headwater/watching/1", "run": str(run), "url": url}))
        return
    if busy is not None:
        click.echo(text("view.busy_port", {"port": str(busy), "taken": str(taken)}), err=True)
    click.echo(text("view.serving", {"run": run.name, "url": url}))
    click.echo(text("view.serving_stop"), err=True)
