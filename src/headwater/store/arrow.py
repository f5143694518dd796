"""Columns of Parquet to arrays and back, by their buffers.

pyarrow's own ways, ``pa.array(...)`` and ``to_numpy()``, import pandas wherever it is installed. That takes a second of
the process that trains, where a log is sealed, and of a reader who wants to see a curve in a fifth of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


def cells(values: NDArray[np.float64], known: NDArray[np.bool_] | None = None) -> pa.Array:
    """Numbers as a column; null where they are not known, NaN by default."""
    import pyarrow as pa

    flat = np.ascontiguousarray(values, np.float64).reshape(-1)
    there = ~np.isnan(flat) if known is None else known.reshape(-1)
    bits = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    return pa.Array.from_buffers(pa.float64(), len(flat), [bits, pa.py_buffer(flat)])


def counted(values: NDArray[Any], type: pa.DataType | None = None) -> pa.Array:
    """Whole numbers as a column of int64, or of a type of as many bytes."""
    import pyarrow as pa

    flat = np.ascontiguousarray(values, np.int64)
    return pa.Array.from_buffers(type or pa.int64(), len(flat), [None, pa.py_buffer(flat)])


def repeated(names: Sequence[str], places: NDArray[Any]) -> pa.Array:
    """Names as a column, by their places."""
    import pyarrow as pa

    flat = np.ascontiguousarray(places, np.int32)
    indices = pa.Array.from_buffers(pa.int32(), len(flat), [None, pa.py_buffer(flat)])
    return pa.DictionaryArray.from_arrays(indices, texts(names))


def texts(lines: Sequence[str]) -> pa.Array:
    """Texts as a column; half a surrogate, which is no text, is a question mark."""
    import pyarrow as pa

    data = [line.encode("utf-8", "replace") for line in lines]
    ends = np.cumsum([0, *map(len, data)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(data), pa.py_buffer(ends), pa.py_buffer(b"".join(data)))


def booleans(values: Sequence[bool]) -> pa.Array:
    """Whether or not as a column."""
    import pyarrow as pa

    bits = np.packbits(np.array(values, bool), bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])


def timestamps(seconds: NDArray[np.float64]) -> pa.Array:
    """Times as a column, in microseconds, UTC."""
    import pyarrow as pa

    micros = np.round(np.nan_to_num(seconds) * 1e6).astype(np.int64)
    return counted(micros, pa.timestamp("us", tz="UTC"))


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of float64 as an array, null as NaN."""
    values = np.concatenate([np.empty(0), *(_values(chunk, np.float64) for chunk in column.chunks)])
    if column.null_count:
        values[~are_known(column)] = np.nan
    return values


def integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """A column of int64, or of times in their unit, as an array; it has no nulls."""
    return np.concatenate([np.empty(0, np.int64), *(_values(chunk, np.int64) for chunk in column.chunks)])


def are_known(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which values of a column are not null."""
    return np.concatenate([np.empty(0, bool), *(_known(chunk) for chunk in column.chunks)])


def _known(chunk: pa.Array) -> NDArray[np.bool_]:
    bits = chunk.buffers()[0]
    if bits is None:
        return np.ones(len(chunk), bool)
    every = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
    return every[chunk.offset : chunk.offset + len(chunk)].astype(bool)


def _values(chunk: pa.Array, dtype: type[np.generic]) -> NDArray[Any]:
    if not len(chunk):
        return np.empty(0, dtype)
    return np.frombuffer(chunk.buffers()[1], dtype, len(chunk), chunk.offset * np.dtype(dtype).itemsize)
