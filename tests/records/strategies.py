"""Hypothesis strategies: any record there can be, and numbers where arithmetic is hardest."""

import dataclasses
import math
import sys
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from headwater import records
from headwater.records.codec import NON_FINITE

RECORDS = sorted(
    (
        value
        for value in vars(records).values()
        if isinstance(value, type)
        and dataclasses.is_dataclass(value)
        and value not in (records.Experiment, records.Budget)
    ),
    key=lambda cls: cls.__name__,
)

EDGES = (
    *(0.0, -0.0, math.nan, math.inf, -math.inf),
    *(5e-324, -5e-324, 1e-310, sys.float_info.min, -sys.float_info.min),
    *(1e-300, -1e-300, 1.0, -1.0, 1.0 + sys.float_info.epsilon, 1e300, -1e300),
    *(sys.float_info.max, -sys.float_info.max, math.nextafter(sys.float_info.max, 0.0)),
)
numbers = st.sampled_from(EDGES) | st.floats() | st.floats(-10.0, 10.0)
# The three words for numbers that are not finite are numbers wherever a field may hold either.
strings = st.text(max_size=6).filter(lambda text: text not in NON_FINITE)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values that a field annotated ``hint`` may hold."""
    simple = {str: strings, int: st.integers(), bool: st.booleans(), float: numbers, type(None): st.none()}
    if hint in simple:
        return simple[hint]
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        return st.builds(hint, **{field.name: values_of(hints[field.name]) for field in dataclasses.fields(hint)})
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple:
        if args[-1] is Ellipsis:
            return st.lists(values_of(args[0]), max_size=2).map(tuple)
        return st.tuples(*map(values_of, args))
    if origin is dict:
        return st.dictionaries(strings, values_of(args[1]), max_size=2)
    return st.one_of(*map(values_of, args))
