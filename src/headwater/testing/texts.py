"""Whether a plugin brings every text that it speaks in, in both languages and with every place filled."""

import string
from collections.abc import Iterable, Mapping
from typing import Any

from headwater import plugins
from headwater.i18n import LANGUAGES, text
from headwater.i18n.catalog import catalog
from headwater.records import encode


def template(message_id: str, language: str) -> str:
    """The template of a message in a language.

    Raises:
        AssertionError: If there is none.
    """
    found = catalog(language).get(message_id) or plugins.texts(language).get(message_id)
    assert found, f"no text {message_id!r} in {language!r}: the plugin's package has it in i18n/{language}.toml"
    return found


def check_ids(ids: Iterable[str]) -> None:
    """Every id has a text in both languages, with the same places open."""
    for id_ in ids:
        open_places = [_places(template(id_, language)) for language in LANGUAGES]
        assert open_places[0] == open_places[1], f"{id_!r}: the languages leave different places open: {open_places}"


def check_messages(record: Any) -> None:
    """Every message in a record, however deep, has its texts, and values for all their places."""
    for id_, values in _messages(encode(record)):
        check_ids([id_])
        for language in LANGUAGES:
            missing = _places(template(id_, language)) - {*values, "symptoms"}
            assert not missing, f"{id_!r} in {language!r} has no value for {sorted(missing)}"
            text(id_, {"symptoms": "vanishing", **values}, language)


def _places(found: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(found) if name is not None}


def _messages(data: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """A message in JSON is an object with an id and values, and nothing else."""
    if isinstance(data, Mapping):
        if data.keys() == {"id", "values"}:
            yield data["id"], data["values"]
        for value in data.values():
            yield from _messages(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from _messages(value)
