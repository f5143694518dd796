"""``python -m website build``, ``serve`` or ``pages``; `make docs`, `make docs-serve` and `make docs-pages` call it."""

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from website.layout import ROOT, THEME, lay_out

CONFIGURATIONS = ("zensical.toml", "zensical.ko.toml")  # English first: Korean goes into a folder of its site


def build(project: Path = ROOT) -> int:
    """Lay the pages out and build both languages; the status of the first build that has a warning, else 0.

    Args:
        project: Where the configurations and the theme are, and ``build/`` is made.
    """
    shutil.rmtree(project / "build" / "site", ignore_errors=True)
    for language in lay_out(project / "build" / "docs"):
        shutil.copytree(THEME / "assets", project / "build" / "docs" / language / "assets")
    zensical = Path(sysconfig.get_path("scripts"), "zensical")
    for configuration in CONFIGURATIONS:
        command = [str(zensical), "build", "--clean", "--strict", "--config-file", configuration]
        done = subprocess.run(command, cwd=project, env={**os.environ, "NO_COLOR": "1"}, check=False)
        if done.returncode:
            return done.returncode
    return 0


def serve(port: int) -> int:
    """Build, and show the site to browsers on this machine until Ctrl-C."""
    status = build()
    if status:
        return status
    handler = partial(SimpleHTTPRequestHandler, directory=str(ROOT / "build" / "site"))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server, suppress(KeyboardInterrupt):
        print(f"The documentation: http://127.0.0.1:{server.server_port}/ (Ctrl-C ends)", flush=True)
        server.serve_forever()
    return 0


def pages() -> int:
    """Write the pages that are made from the code, where they differ."""
    from website.reference import PAGES

    for path, page in PAGES.items():
        text = page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m website", description=__doc__)
    parser.add_argument("command", choices=("build", "serve", "pages"))
    parser.add_argument("--port", type=int, default=8000, help="of `serve`; 0 for a free one")
    asked = parser.parse_args()
    if asked.command == "serve":
        return serve(asked.port)
    return build() if asked.command == "build" else pages()


if __name__ == "__main__":
    sys.exit(main())
