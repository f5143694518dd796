"""Finished runs on disk, so that a proof that was killed goes on where it was.

One line of JSON per run, appended and synced as soon as the run is done. A kill in the middle of a line leaves a line
without an end, which is passed over. The first line says which proof it is: a journal of another one is not gone on
with.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headwater.records import InputError, decode, encode
from headwater.remedies.bench import Run
from headwater.remedies.trial import Trial

SCHEMA = "headwater/journal/1"


class Journal:
    """What has been run of one proof."""

    def __init__(self, path: str | os.PathLike[str] | None, about: Mapping[str, Any]) -> None:
        """Open a journal and read what it has.

        Args:
            path: The file, or a folder in which the file is named after the proof; ``None`` to keep nothing.
            about: What makes the proof this one and no other.

        Raises:
            InputError: If the file cannot be written, or is no journal.
        """
        self._about = json.loads(json.dumps(about, sort_keys=True, default=str))
        self.path = self._named(path) if path is not None else None
        self._known: dict[str, Trial] = {}
        self.found = 0
        if self.path is not None:
            try:
                self._read(self.path)
                self._begin(self.path)
            except OSError as error:
                raise InputError(f"cannot keep a journal in {self.path}: {error.strerror or error}.") from error
        self.found = len(self._known)

    def get(self, run: Run) -> Trial | None:
        """What a run gave, if it was made before."""
        return self._known.get(_key(run))

    def put(self, run: Run, trial: Trial) -> None:
        """Write down what a run gave."""
        self._known[_key(run)] = trial
        if self.path is None:
            return
        line = json.dumps({"run": _key(run), "trial": encode(trial)}, allow_nan=False)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def done(self) -> None:
        """The proof is finished: nothing is left to go on with."""
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()

    def _named(self, path: str | os.PathLike[str]) -> Path:
        given = Path(path)
        if not given.is_dir():
            return given
        digest = hashlib.blake2b(json.dumps(self._about, sort_keys=True).encode(), digest_size=8).hexdigest()
        return given / f"{digest}.jsonl"

    def _read(self, path: Path) -> None:
        try:
            lines = path.read_bytes().split(b"\n")[:-1]  # what has no end was cut off by a kill
        except FileNotFoundError:
            return
        head = _parsed(lines[0]) if lines else None
        if lines and (head or {}).get("schema") != SCHEMA:
            raise InputError(f"{path} is no journal of a proof: name another file.")
        if head is None or head.get("about") != self._about:
            path.unlink()
            return
        for line in lines[1:]:
            entry = _parsed(line)
            if entry is not None:
                self._known[entry["run"]] = decode(Trial, entry["trial"])

    def _begin(self, path: Path) -> None:
        head = json.dumps({"schema": SCHEMA, "about": self._about}, allow_nan=False)
        known = [json.dumps({"run": key, "trial": encode(trial)}) for key, trial in self._known.items()]
        whole = path.with_name(f"{path.name}.tmp")
        with open(whole, "w", encoding="utf-8") as file:  # anew: a line that was cut off is gone
            file.write("\n".join([head, *known]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, path)


def _key(run: Run) -> str:
    return json.dumps(asdict(run), sort_keys=True)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
