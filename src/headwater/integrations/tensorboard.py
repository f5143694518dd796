"""TensorBoard: a ``SummaryWriter``, or the folder of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater.integrations.missing import missing
from headwater.records import InputError
from headwater.report import Report


class TensorBoard:
    """Tells a ``SummaryWriter``, of torch's or of tensorboardX.

    The report is a text in TensorBoard, which keeps no files; its page and its JSON lie beside the events.

    Args:
        writer: The writer; or a folder, which gets a writer of its own.

    Raises:
        InputError: If TensorBoard is not installed; the message says how it is.
    """

    def __init__(self, writer: Any) -> None:
        self._is_own = isinstance(writer, (str, os.PathLike))
        self._writer = _writer(writer) if self._is_own else writer

    @classmethod
    def of(cls, target: Any) -> TensorBoard | None:
        """For a writer or the path of a folder."""
        if target == "tensorboard":
            raise InputError(
                "TensorBoard has no active run: log_to(SummaryWriter('logs/a')), or log_to(Path('logs/a'))."
            )
        is_writer = all(hasattr(target, name) for name in ("add_scalar", "add_text", "log_dir"))
        return cls(target) if is_writer or isinstance(target, os.PathLike) else None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def report(self, step: int, report: Report, files: Sequence[Path]) -> None:
        self._writer.add_text("headwater/report", f"```\n{report}\n```", step)
        self._writer.flush()
        for file in files:
            shutil.copy(file, self._writer.log_dir)
        if self._is_own:
            self._writer.close()


def _writer(folder: Any) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise missing("TensorBoard", "tensorboard", error) from error
    return SummaryWriter(os.fspath(folder))


LOGGER = TensorBoard
