"""docs/run-format.md says what the code does."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from headwater.store.columns import GROUPS
from headwater.store.frames import HEADER, MAGIC, MAX_PAYLOAD, Kind, packed
from headwater.store.layout import FORMAT, GATHERED, LEVELS, MOST_GATHERED
from headwater.store.log import _AHEAD, _MOST_AHEAD
from headwater.store.payloads import MAX_DEPTH, MAX_NAME, MAX_ROWS, STEP
from headwater.store.retention import AFTER, BEFORE
from headwater.store.ring import CAPACITY
from headwater.store.writer import LOG_BYTES, LOG_STEPS
from tests.helpers import ROOT, with_generated
from tests.store.recording import begun, expected, record

PAGE = ROOT / "docs" / "run-format.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_page_lists_every_column(golden: Callable[[Path, str], None]) -> None:
    lines = [f"- **{group}**: {', '.join(f'`{name}`' for name in columns)}" for group, columns in GROUPS.items()]
    golden(PAGE, with_generated(PAGE, "the columns", "\n".join(lines)))


def test_page_has_the_numbers_of_the_code() -> None:
    assert f"format **{FORMAT}**" in TEXT
    assert MAGIC.hex(" ") in TEXT
    assert f"at most {MAX_PAYLOAD >> 20} MiB" in TEXT
    assert f"({LOG_BYTES >> 20} MiB or {LOG_STEPS:,} steps)" in TEXT
    assert f"in memory ({CAPACITY >> 20} MiB)" in TEXT
    assert f"(as much as {_AHEAD} steps\ntake, at most {_MOST_AHEAD >> 20} MiB)" in TEXT
    assert f"JSON depth ({MAX_DEPTH}), names ({MAX_NAME} bytes), rows ({MAX_ROWS:,})" in TEXT
    assert f"The {BEFORE} recorded steps before" in TEXT
    assert BEFORE == AFTER
    assert all(f"sites-{level}/" in TEXT for level in LEVELS)
    assert MOST_GATHERED == 8
    assert "of up to eight logs in one file" in TEXT
    assert LEVELS[1:] == GATHERED
    for kind in Kind:
        assert f"{kind.value} `{kind.name}`" in TEXT


def test_a_log_reads_as_the_page_says_without_our_reader(tmp_path: Path) -> None:
    """A reader written from the page alone."""
    writer = begun(tmp_path / "a")
    record(writer, range(3))
    data = writer._log.path.read_bytes()
    writer.close()
    place, steps = 0, []
    while data[place:].strip(b"\0"):  # zeros behind the last frame are room for more
        magic, kind, zero, length, crc, number = struct.unpack_from("<4sHHIIQ", data, place)
        payload = data[place + 24 : place + 24 + length]
        assert (magic, zero) == (b"\x89HWf", 0)
        assert crc == zlib.crc32(payload, zlib.crc32(struct.pack("<HHIQ", kind, zero, length, number)))
        if kind == 3:
            step, _, loss, rows, columns = struct.unpack_from("<qddII", payload)
            assert columns >> 31 == 1
            first = struct.unpack_from("<d", payload, 48)[0]
            steps.append((step, loss, rows, columns & ~(1 << 31), first))
        place += 24 + length
    width = len(GROUPS["sites"])
    assert steps == [(step, 1 / (step + 1), 3, width, expected(step)) for step in range(3)]


def test_sizes_are_those_of_the_page() -> None:
    assert HEADER.size == 24
    assert STEP.size == 48
    assert len(packed(Kind.EVENT, 0, b"{}")) == 26


def test_tree_on_the_page_is_what_a_run_has(tmp_path: Path) -> None:
    writer = begun(tmp_path / "a")
    record(writer, range(3))
    writer.scalars(1, {"x": 1.0})
    writer.note(every="1")
    writer.close()
    found = {
        path.relative_to(tmp_path / "a").parts[-2 if path.suffix == ".parquet" else -1]
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert {
        "run.json",
        "start.json",
        "heartbeat",
        "rows.json",
        "watch.json",
        "steps",
        "sites",
        "scalars",
        "events",
    } <= found
    for name in found - {"parameters", "parameters-16", "parameters-256", "parameters-4096"}:
        assert name in TEXT, name
