"""What a Trainer of Hugging Face's reports to, by its arguments."""

import os
from pathlib import Path
from typing import Any

ACTIVE = {"wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio", "comet_ml": "comet"}
"""Those of ``report_to`` whose active run can be asked for, by what ``log_to`` calls them."""


def reported_to(args: Any) -> list[Any]:
    """What ``log_to`` takes for them; of TensorBoard the folder that the Trainer's own callback has begun to write to.

    Args:
        args: The ``TrainingArguments``.
    """
    names = [args.report_to] if isinstance(args.report_to, str) else list(args.report_to or ())
    folder = Path(os.environ.get("TENSORBOARD_LOGGING_DIR") or Path(args.output_dir) / "runs").expanduser()
    events = sorted(folder.rglob("events.out.*"), key=lambda path: path.stat().st_mtime)
    written = [events[-1].parent] if "tensorboard" in names and events else []
    return [*(ACTIVE[name] for name in names if name in ACTIVE), *written]
