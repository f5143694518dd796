"""All that a run holds, table by table, whatever of it is sealed: what an export writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from headwater.store.arrow import counted
from headwater.store.columns import COURSE, GROUPS, Group
from headwater.store.reader import Recording
from headwater.store.sealing import events_table, group_table, scalars_table, steps_table
from headwater.store.start import Piece, Start

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["sites", "parameters", "steps", "scalars", "events"]
KINDS: tuple[Kind, ...] = ("sites", "parameters", "steps", "scalars", "events")


def tables(run: Recording, kind: Kind) -> Iterator[pa.Table]:
    """A run's table in parts, oldest first, each with a column ``start`` that counts process starts.

    Of several ranks every one's own rows are there, with its number in a column ``rank``: merging is what readers do.

    Args:
        run: Opened.
        kind: Which table. Single steps of sites that made room are left out; their rollups stand beside.
    """
    for start in run.starts:
        for piece in start.pieces:
            table = _table(start, piece, kind)
            if table is not None and table.num_rows:
                plain = table.replace_schema_metadata(None)
                plain = plain.add_column(0, "start", counted(np.full(table.num_rows, start.number)))
                if run.is_merged:
                    plain = plain.append_column("rank", counted(np.full(table.num_rows, start.rank)))
                yield plain


def _table(start: Start, piece: Piece, kind: Kind) -> pa.Table | None:
    if piece.log is not None:
        if kind == "scalars":
            return scalars_table(piece.log.scalars)
        if kind == "events":
            return events_table(piece.log.events)
        clock = start.clock(piece)
        if kind == "steps":
            return steps_table(piece.log, clock)
        group: Group = kind
        names = [row["name"] for row in piece.log.rows[group]]
        values = np.moveaxis(piece.log.tables(group), 0, 1)
        columns = {name: values[..., place] for place, name in enumerate(piece.log.columns[group])}
        return group_table(group, names, clock, columns) if names and len(clock) else None
    for name in (kind, f"{kind}-pinned"):
        segment = start.segment(piece, name)
        if segment is not None:
            return segment.table()
    return None


def column_names(kind: Kind, with_ranks: bool = False) -> list[str]:
    """The columns of a table, for one without rows.

    Args:
        kind: Which table.
        with_ranks: Whether several ranks' rows stand in it, each with its number at the end.
    """
    return [*_column_names(kind), *(["rank"] if with_ranks else [])]


def _column_names(kind: Kind) -> list[str]:
    shared = ["start", "ordinal", "step", "number", "time"]
    if kind == "sites":
        return [shared[0], "site", *shared[1:], *GROUPS["sites"]]
    if kind == "parameters":
        return [shared[0], "parameter", *shared[1:], *GROUPS["parameters"]]
    if kind == "steps":
        return [*shared, "loss", *COURSE]
    return ["start", "step", "time", *(["name", "value"] if kind == "scalars" else ["id", "values", "alarm"])]
