"""Korean particles after inserted words: 을/를, 이/가, 은/는, 과/와, 으로/로, chosen by how the word is read aloud."""

import re

# Final consonants of digits as read: 영 일 이 삼 사 오 육 칠 팔 구.
_DIGITS = {"0": "ㅇ", "1": "ㄹ", "3": "ㅁ", "6": "ㄱ", "7": "ㄹ", "8": "ㄹ"}
# Latin words of the field whose reading does not follow from their last letter.
_WORDS = {
    "adam": "ㅁ",
    "relu": "",
    "he": "",
    "tanh": "",
    "sigmoid": "",
    "float16": "ㄱ",
    "loss": "",
    "batch": "",
    "step": "ㅂ",
}
# Names of single letters that end in a consonant: 엘 엠 엔 알. Capitals, and what has no vowel, are read by letters.
_LETTERS = {"L": "ㄹ", "M": "ㅁ", "N": "ㄴ", "R": "ㄹ"}
_VOWELS = set("aeiouy")
_ENDINGS = {"l": "ㄹ", "m": "ㅁ", "n": "ㄴ", "ng": "ㅇ", "ck": "ㄱ", "p": "ㅂ"}


def with_josa(word: str, pair: str) -> str:
    """``word`` with the particle of ``pair`` that fits it.

    Args:
        word: Any word or name, Korean or not.
        pair: After a consonant / after a vowel, such as ``을/를``; ``으로/로`` takes 로 after ㄹ too.

    Example:
        >>> with_josa("기울기", "이/가"), with_josa("Adam", "을/를"), with_josa("layer 7", "으로/로")
        ('기울기가', 'Adam을', 'layer 7로')
    """
    after_consonant, after_vowel = pair.split("/")
    final = final_consonant(word)
    if not final or (after_vowel == "로" and final == "ㄹ"):
        return word + after_vowel
    return word + after_consonant


def final_consonant(word: str) -> str:
    """The consonant a word ends in when read aloud in Korean, ``""`` for a vowel."""
    tail = _tail(word)
    if not tail:
        return ""
    if "가" <= tail <= "힣":
        return _hangul_final(tail)
    if tail.lower() in _WORDS:
        return _WORDS[tail.lower()]
    if tail[-1].isdigit():
        return _DIGITS.get(tail[-1], "")
    if tail.isupper() or not _VOWELS.intersection(tail.lower()):
        return _LETTERS.get(tail[-1].upper(), "")
    return next((final for ending, final in _ENDINGS.items() if tail.lower().endswith(ending)), "")


def _tail(word: str) -> str:
    """The last readable run of ``word``: one Hangul syllable, or Latin letters with their digits, or a digit."""
    runs = re.findall(r"[가-힣]|[A-Za-z]+\d*|\d", word)
    return runs[-1] if runs else ""


def _hangul_final(syllable: str) -> str:
    index = (ord(syllable) - 0xAC00) % 28
    return "" if index == 0 else ("ㄹ" if index == 8 else "ㅇ")
