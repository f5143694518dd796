"""Records to strict JSON and back, and the JSON Schema of a record.

Strict JSON has no word for numbers that are not finite, and those are the news in this field: they travel as the
strings ``"nan"``, ``"inf"`` and ``"-inf"``. Where a field may hold a string as well as a number, these three strings
read as numbers.
"""

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

NON_FINITE = ("nan", "inf", "-inf")


def encode(value: Any) -> Any:
    """The JSON form of a record, or of anything a record may hold.

    Args:
        value: A record, or nested tuples, mappings, strings, numbers, booleans and ``None``.

    Returns:
        Dictionaries, lists and scalars that ``json.dumps(..., allow_nan=False)`` accepts.

    Raises:
        TypeError: If a value has no JSON form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        schema = getattr(value, "SCHEMA", None)
        return {"schema": schema, **fields} if schema else fields
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _non_finite_name(value)
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form; a record holds numbers, strings, tuples and records.")


def decode(cls: type[T], data: Any) -> T:
    """The record of type ``cls`` that ``data`` is the JSON form of; keys the record does not know are passed over.

    A record that has grown names in ``READS`` the schemas of older files that it still reads; what they lack has a
    default.

    Args:
        cls: A record type.
        data: What :func:`encode` gave, as parsed by ``json.loads``.

    Raises:
        ValueError: If ``data`` carries another schema, lacks a field, or holds a value its schema does not allow; the
            message leads to the value, such as ``Flow.sites: SiteFlow.site: Site.order: ...``.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{cls.__name__} is read from a JSON object, got {data!r:.80}.")
    schema = getattr(cls, "SCHEMA", None)
    if schema and data.get("schema") not in (schema, *getattr(cls, "READS", ())):
        raise ValueError(
            f"expected schema {schema!r}, got {data.get('schema')!r}: the file is of another kind or newer."
        )
    hints = get_type_hints(cls)
    values = {}
    for field in dataclasses.fields(cls):
        if field.name in data:
            try:
                values[field.name] = _decode_value(hints[field.name], data[field.name])
            except ValueError as error:
                raise ValueError(f"{cls.__name__}.{field.name}: {error}") from error
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{cls.__name__} needs {field.name!r}, and the data have only {sorted(data)}.")
    return cls(**values)


def schema_of(cls: type) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that the JSON form of ``cls`` satisfies.

    It allows fields it does not name, as :func:`decode` does: a file of a newer version stays valid.
    """
    definitions: dict[str, Any] = {}
    reference = _schema_value(cls, definitions)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **reference, "$defs": definitions}


def _non_finite_name(value: float) -> str:
    if math.isnan(value):
        return "nan"
    return "inf" if value > 0 else "-inf"


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _decode_value(hint: Any, data: Any) -> Any:
    if _is_union(hint):
        return _decode_union(get_args(hint), data)
    if hint is float:
        return _decode_float(data)
    if hint in (str, int, bool):
        return data if type(data) is hint else _refuse(hint.__name__, data)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return decode(hint, data)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return data if data in args else _refuse(f"one of {', '.join(map(str, args))}", data)
    if origin is tuple:
        kinds = (args[0],) * len(data) if args[-1] is Ellipsis and isinstance(data, (list, tuple)) else args
        if not isinstance(data, (list, tuple)) or len(kinds) != len(data):
            return _refuse("a list" if args[-1] is Ellipsis else f"a list of {len(args)}", data)
        return tuple(_decode_value(kind, item) for kind, item in zip(kinds, data, strict=True))
    if origin in (dict, Mapping) and isinstance(data, Mapping):
        return {key: _decode_value(args[1], item) for key, item in data.items()}
    return _refuse("an object", data)


def _decode_float(data: Any) -> float:
    if isinstance(data, bool) or not (isinstance(data, (int, float)) or data in NON_FINITE):
        _refuse("a number", data)
    return float(data)


def _decode_union(options: tuple[Any, ...], data: Any) -> Any:
    if float in options and (isinstance(data, float) or data in NON_FINITE):
        return float(data)
    if type(data) in options or (isinstance(data, bool) and int in options):
        return data
    remaining = [option for option in options if option not in (type(None), str, int, bool)]
    if isinstance(data, (Mapping, list)):  # in a cell that holds a number or a message, it is the message
        remaining = [option for option in remaining if option is not float] or remaining
    return _decode_value(remaining[0], data) if remaining else _refuse(" or ".join(o.__name__ for o in options), data)


def _refuse(wanted: str, data: Any) -> NoReturn:
    raise ValueError(f"expected {wanted}, got {data!r:.80}.")


def _schema_value(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    simple: dict[Any, dict[str, Any]] = {
        str: {"type": "string"},
        int: {"type": "integer"},
        bool: {"type": "boolean"},
        type(None): {"type": "null"},
        float: {"anyOf": [{"type": "number"}, {"enum": list(NON_FINITE)}]},
    }
    if hint in simple:
        return simple[hint]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _schema_record(hint, definitions)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(args)}
    if _is_union(hint):
        return {"anyOf": [_schema_value(option, definitions) for option in args]}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema_value(args[1], definitions)}
    if origin is tuple and args[-1] is Ellipsis:
        return {"type": "array", "items": _schema_value(args[0], definitions)}
    if origin is tuple:
        items = [_schema_value(option, definitions) for option in args]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    raise TypeError(f"no JSON Schema for {hint!r}")


def _schema_record(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    reference = {"$ref": f"#/$defs/{cls.__name__}"}
    if cls.__name__ in definitions:
        return reference
    definitions[cls.__name__] = {}  # reserves the name, so that a record may hold its own kind
    hints = get_type_hints(cls)
    properties = {f.name: _schema_value(hints[f.name], definitions) for f in dataclasses.fields(cls)}
    schema = getattr(cls, "SCHEMA", None)
    if schema:
        properties = {"schema": {"const": schema}, **properties}
    definitions[cls.__name__] = {
        "type": "object",
        "description": (cls.__doc__ or "").strip().split("\n")[0],
        "properties": properties,
        "required": list(properties),
    }
    return reference
