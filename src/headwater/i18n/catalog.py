"""The two catalogues and the look-up."""

import os
import string
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.resources import files
from typing import Any

from headwater import plugins
from headwater.i18n.josa import with_josa
from headwater.i18n.numbers import number
from headwater.records.message import Message, Value, render_with

LANGUAGES = ("en", "ko")

_language: ContextVar[str | None] = ContextVar("headwater_language", default=None)


class _Formatter(string.Formatter):
    """``str.format`` without attribute or index access; ``None`` reads as a dash.

    Four formats of its own: ``{site:이/가}`` adds the particle that fits, and ``{rms:number,이/가}`` to a number as it
    is written; ``{names:symptoms}`` reads a comma-separated list of symptom ids aloud; ``{rms:number}`` writes it as
    :func:`~headwater.i18n.number` does; ``{rows:row|rows}`` counts: ``1 row``, ``1,200 rows``.
    """

    def __init__(self, language: str) -> None:
        self._language = language

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        return self.get_value(field_name, args, kwargs), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        if "/" in format_spec:
            how, _, pair = format_spec.rpartition(",")
            return with_josa(self.format_field(value, how) if how else str(value), pair)
        if "|" in format_spec:
            one, many = format_spec.split("|")
            return f"{number(value)} {one if value == 1 else many}"
        if format_spec == "symptoms":
            names = str(value).split(", ")
            return ", ".join(text(f"symptom.{name}", language=self._language) for name in names)
        if value is None or isinstance(value, str) or format_spec == "number":
            return number(value)
        return str(format(value, format_spec))


def text(message_id: str, values: Mapping[str, Value] | None = None, language: str | None = None) -> str:
    """The text of ``message_id`` with ``values`` put in.

    Args:
        message_id: Dotted id, such as ``finding.vanishing``.
        values: What the template's placeholders stand for.
        language: ``en`` or ``ko``; by default the one in force.

    Raises:
        KeyError: If the catalogue has no such id, or a placeholder has no value.
    """
    language = language or current_language()
    return _Formatter(language).format(_template(message_id, language), **(values or {}))


def _template(message_id: str, language: str) -> str:
    """Ours, or where we have none a plugin's, which may have it in English only."""
    ours = catalog(language).get(message_id)
    if ours is not None:
        return ours
    theirs = plugins.texts(language)
    return theirs[message_id] if message_id in theirs else plugins.texts("en")[message_id]


def speak(message: Message, language: str | None = None) -> str:
    """The text of a message record."""
    return text(message.id, message.values, language)


def has_text(message_id: str) -> bool:
    """Whether the catalogues, or those of plugins, know ``message_id``."""
    return message_id in catalog("en") or message_id in plugins.texts("en")


def current_language() -> str:
    """The language in force: :func:`use_language`, else ``HEADWATER_LANG``, else the system's, else English."""
    for choice in (_language.get(), os.environ.get("HEADWATER_LANG"), os.environ.get("LC_ALL"), os.environ.get("LANG")):
        if choice:
            return "ko" if choice.lower().startswith("ko") else "en"
    return "en"


@contextmanager
def use_language(language: str | None) -> Iterator[None]:
    """Let text be in ``language`` inside the block; ``None`` changes nothing.

    Raises:
        ValueError: If there is no such catalogue.
    """
    if language is not None and language not in LANGUAGES:
        raise ValueError(f"no texts in {language!r}; choose one of {', '.join(LANGUAGES)}.")
    token = _language.set(language or _language.get())
    try:
        yield
    finally:
        _language.reset(token)


@cache
def catalog(language: str) -> dict[str, str]:
    """Every template of one language by its dotted id.

    Those of each lesson, of each family of remedies and of the lab are in files of their own, in both languages.
    """
    folder = files("headwater.i18n")
    templates = dict(_flatten(tomllib.loads(folder.joinpath(f"{language}.toml").read_text(encoding="utf-8")), ""))
    for name, page in _pages("lessons"):
        templates |= _flatten(page[language], f"lesson.{name}.")
    for family, page in _pages("remedies"):
        templates |= _flatten(page[language], f"remedy.{family}.")
        templates |= {f"remedy.{family}.{name}.source": source for name, source in page["source"].items()}
    for part, page in _pages("lab"):
        templates |= _flatten(page[language], f"lab.{part}.")
    for name, page in _pages("lab/guides"):
        templates |= _flatten(page[language], f"lab.guide.{name}.")
    return templates


def _pages(folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The files of a folder, by name."""
    for page in sorted(files("headwater.i18n").joinpath(*folder.split("/")).iterdir(), key=lambda page: page.name):
        if page.name.endswith(".toml"):
            yield page.name.removesuffix(".toml"), tomllib.loads(page.read_text(encoding="utf-8"))


def _flatten(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, str):
            yield prefix + key, value
        else:
            yield from _flatten(value, f"{prefix}{key}.")


render_with(speak)
