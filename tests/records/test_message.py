from headwater import i18n
from headwater.records import Message
from tests.helpers import python


def test_message_prints_its_parts_before_any_language_is_loaded() -> None:
    code = "from headwater.records import Message; print(Message('a.b', {'n': 1, 's': 'x', 'none': None}))"
    assert python(code) == "a.b(n=1, s='x', none=None)"


def test_message_prints_in_the_language_in_force() -> None:
    message = Message("verdict.healthy")
    assert str(message) == i18n.text("verdict.healthy", language="en") == "healthy"
    with i18n.use_language("ko"):
        assert str(message) == i18n.text("verdict.healthy", language="ko") != "healthy"


def test_message_prints_its_values() -> None:
    assert "train.py" in str(Message("cli.runs", {"path": "train.py"}))


def test_messages_with_equal_parts_are_equal() -> None:
    assert Message("a", {"n": 1}) == Message("a", {"n": 1}) != Message("a", {"n": 2})
    assert Message("a").values == {}


def test_message_without_a_text_prints_its_parts() -> None:
    assert str(Message("plugin.unknown", {"site": "fc"})) == "plugin.unknown(site='fc')"
