"""Write the runs that later versions must read, once and for ever: ``python -m tests.store.write_golden VERSION``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from headwater.store import Recording
from tests.store.recording import begun, kill, no_thread, record, small_logs, steps_of

STATISTICS = ("activation_rms", "update_ratio")


def write(folder: Path) -> None:
    """A run that was killed and one that ended, with what must be read of them."""
    with no_thread(), small_logs(8):
        for kind in ("killed", "ended"):
            writer = begun(folder / kind, clock=lambda: 1.8e9)
            for step in range(20):
                record(writer, range(step, step + 1))
                if step == 4:
                    writer.event(step, "event.nonfinite", {"elements": 2}, is_alarm=True)
                    writer.scalars(step, {"val_loss": 0.5})
                if step == 10:
                    writer._keeper.turn()
            kill(writer) if kind == "killed" else writer.close()
    expected = {kind: _of(Recording(folder / kind)) for kind in ("killed", "ended")}
    run = Recording(folder / "ended")
    shared = {
        "sites": run.site_names,
        "values": {name: run.read(name)[1].tolist() for name in STATISTICS},
        "scalars": {name: curve.values.tolist() for name, curve in run.scalars().items()},
    }
    (folder / "expected.json").write_text(json.dumps({**expected, **shared}) + "\n", encoding="utf-8")


def _of(run: Recording) -> dict[str, object]:
    return {"steps": steps_of(run), "events": [event.message.id for event in run.events()]}


if __name__ == "__main__":
    write(Path(__file__).parent / "golden" / sys.argv[1])
