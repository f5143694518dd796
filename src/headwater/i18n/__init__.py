"""Text by message id, in English and Korean; the only place where a sentence chooses its language."""

from headwater.i18n.catalog import LANGUAGES as LANGUAGES
from headwater.i18n.catalog import current_language as current_language
from headwater.i18n.catalog import has_text as has_text
from headwater.i18n.catalog import speak as speak
from headwater.i18n.catalog import text as text
from headwater.i18n.catalog import use_language as use_language
from headwater.i18n.numbers import number as number
