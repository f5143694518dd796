"""Each example runs as it stands, where what it needs is installed, and says what it promises."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers import EXAMPLES

# What each needs, and what it prints.
WORDS = {
    "accelerate_loop": (["accelerate"], ["80 batches, 20 steps, 10 of them measured", "healthy"]),
    "comet_logger": (["comet_ml"], ["healthy"]),
    "fabric_loop": (["lightning_fabric"], ["healthy"]),
    "ignite_engine": (["ignite"], ["healthy"]),
    "keras_fit": (["keras"], ["vanishing gradient · site hidden0"]),
    "lightning_trainer": (["pytorch_lightning"], ["vanishing gradient · site net.0", "activation derivatives"]),
    "mlflow_logger": (["mlflow", "sqlalchemy", "alembic"], ["healthy"]),
    "skorch_net": (["skorch"], ["healthy"]),
    "tensorboard_logger": (["tensorboard"], ["healthy"]),
    "trackio_logger": (["trackio"], ["healthy"]),
    "transformers_trainer": (["transformers", "accelerate"], ["GPT2LMHeadModel", "healthy"]),
    "wandb_logger": (["wandb"], ["healthy"]),
}


def test_every_example_is_run() -> None:
    assert {path.stem for path in (EXAMPLES / "integrations").glob("*.py")} == set(WORDS)


@pytest.mark.parametrize("example", WORDS)
def test_example_runs_and_says_what_it_promises(tmp_path: Path, example: str) -> None:
    packages, words = WORDS[example]
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: its extra brings it")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "integrations" / f"{example}.py"],
        cwd=tmp_path,
        env={**os.environ, "HEADWATER_LANG": "en", "TRACKIO_DIR": str(tmp_path / "trackio"), "WANDB_SILENT": "true"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    for word in words:
        assert word.lower() in done.stdout.lower(), done.stdout
