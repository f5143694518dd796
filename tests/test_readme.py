"""What the front pages show is what happens: their commands and their code are run."""

import os
import re
import shlex
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.helpers import ROOT, files_under, heed_ctrl_c, typed

PAGES = ("README.md", "README.ko.md")


def blocks(page: str) -> tuple[list[str], list[str]]:
    """The ``headwater`` commands of a page, and its Python without comments."""
    content = (ROOT / page).read_text(encoding="utf-8")
    commands = re.findall(r"^    (headwater .+)$", content, re.MULTILINE)
    code = re.findall(r"```python\n(.+?)```", content, re.DOTALL)
    return commands, [re.sub(r" *#.*", "", block) for block in code]


def readers_names() -> dict[str, object]:
    """What a reader of the page has at hand."""

    class Net(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))

    def data(samples: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        features = torch.randn(samples, 8, generator=torch.Generator().manual_seed(samples))
        return [(features, (features[:, 0] > 0).long())]

    return {
        "Net": Net,
        "model": Net(),
        "batch": data(64)[0],
        "batches": lambda: data(64),
        "held_out": lambda: data(128),
        "loss": lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
        "make_optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    }


def test_both_pages_show_the_same_commands_and_code() -> None:
    assert blocks(PAGES[0]) == blocks(PAGES[1])


def test_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = readers_names()
    before = {key: value.clone() for key, value in names["model"].state_dict().items()}
    exec(blocks("README.md")[1][0], names)
    verdict, proof = capsys.readouterr().out.splitlines()
    assert verdict.split()[0] in ("healthy", "findings", "cannot_tell")
    assert proof.split()[0] in ("proven", "not_proven", "harmful")
    assert files_under(tmp_path) == {"report.html"}
    torch.testing.assert_close(names["model"].state_dict(), before, rtol=0, atol=0)


def test_loop_of_the_page_is_watched(capsys: pytest.CaptureFixture[str]) -> None:
    _, loop = blocks("README.md")[1]
    exec("import headwater as hw\n" + loop, readers_names())
    overhead, verdict = capsys.readouterr().out.split()
    assert overhead == "None" or float(overhead) >= 0
    assert verdict in ("healthy", "findings", "cannot_tell")


SERVES = ("headwater lab",)  # until somebody stops it


@pytest.mark.parametrize("command", [command for command in blocks("README.md")[0] if command not in SERVES])
def test_command_of_the_page_runs(tmp_path: Path, command: str) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = typed(*shlex.split(command)[1:], cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout


@pytest.mark.parametrize("command", SERVES)
def test_command_of_the_page_serves_until_ctrl_c(tmp_path: Path, command: str) -> None:
    assert command in blocks("README.md")[0]
    script = Path(sysconfig.get_path("scripts"), "headwater")
    process = subprocess.Popen(
        [script, *shlex.split(command)[1:]],
        cwd=tmp_path,
        env={**os.environ, "BROWSER": "true", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    try:
        assert process.stdout is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) in (0, 130)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md"])
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []


def test_contributing_says_in_ten_lines_how_to_do_what_ci_does() -> None:
    assert "`make test lint`" in "\n".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()[:10])
