"""Lines of JSON in an open file: ``hw.watch(model, optimizer, logger=log_to(open("log.jsonl", "w")))``."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO


class JsonLines:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    @classmethod
    def of(cls, target: Any) -> "JsonLines | None":
        return cls(target) if isinstance(target, io.TextIOBase) else None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        # Strict JSON has no NaN and no Inf: as words they are still told.
        told = {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **told}, allow_nan=False) + "\n")

    def report(self, step: int, report: Any, files: Sequence[Path]) -> None:
        self._file.write(json.dumps({"step": step, "verdict": report.verdict}) + "\n")
        self._file.flush()
