"""``headwater lab``: networks in a browser that train while one changes them."""

from __future__ import annotations

import click

from headwater.cli.options import json_option, language_option, traceback_option
from headwater.i18n import text, use_language


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 serves a class on this network.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where to serve; by default the first free one from 7723.")
@click.option("--lesson", help="Begin with the guided page of a lesson, such as vanishing.")
@click.option("--no-open", is_flag=True, help="Do not open the page in a browser.")
@json_option
@language_option
@traceback_option
def lab(host: str, port: int | None, lesson: str | None, no_open: bool, as_json: bool, language: str | None) -> None:
    """Open the lab: build a network, watch its signals and gradients as it trains, break it and repair it.

    Everything runs on this machine and nothing is sent elsewhere. With --host 0.0.0.0 those on the same network who
    have the printed address, or its QR code on the page, can open a lab of their own.

    \b
    Examples:
      headwater lab
      headwater lab --lesson vanishing --lang ko
      headwater lab --host 0.0.0.0 --port 8000

    Exit status: 0 ended, 2 the host, the port or the lesson cannot be used, 3 internal error.
    """
    from headwater.lab.classroom import class_address, require_data, require_qr
    from headwater.lab.guides import GUIDES
    from headwater.lab.server import Setting, serve
    from headwater.records import InputError
    from headwater.server.address import address, listening, require_packages
    from headwater.server.guard import HOSTS, Session

    require_packages()
    require_data()
    if lesson is not None and lesson not in GUIDES:
        raise InputError(f"no guided lesson {lesson!r}: there are {', '.join(GUIDES)}.")
    if host not in HOSTS:
        require_qr()
    with use_language(language):
        session = Session()
        with listening(port, "127.0.0.1" if host == "localhost" else host) as sock:
            taken = sock.getsockname()[1]
            setting = Setting(host, taken, lesson, language)
            shared = class_address(host, taken, session.token) if setting.is_class else None
            url = shared if shared is not None and host != "0.0.0.0" else address(sock, session)
            _tell(url, shared, as_json)
            if not no_open:
                click.launch(url)
            serve(sock, session, setting)


def _tell(url: str, shared: str | None, as_json: bool) -> None:
    if as_json:
        import json

        click.echo(json.dumps({"schema": "headwater/lab_served/1", "url": url, "class_url": shared}))
        return
    click.echo(text("cli.lab_serving", {"url": url}))
    if shared is not None:
        click.echo(text("cli.lab_shared", {"url": shared}))
    click.echo(text("cli.lab_stop"), err=True)
