"""A frame that came while nobody waited for one is not lost where no other would follow it."""

from __future__ import annotations

from tests.lab.test_session import SMALL, Watched


def test_last_frame_comes_when_somebody_waits_for_one() -> None:
    watched = Watched(**SMALL)
    watched.lab.do({"do": "step", "steps": 3})
    watched.lab.wants_frame = False  # the page has not drawn the frame before yet
    while watched.lab._step_in_s(0.0) is not None:
        watched.lab.turn()
    assert watched.last("frame")["step"] == 0
    watched.lab.ready_for_frame()
    assert watched.last("frame")["step"] == 3
    count = len(watched.events)
    watched.lab.ready_for_frame()
    assert len(watched.events) == count  # once


def test_network_that_breaks_at_its_first_step_says_so_to_a_page_that_is_late() -> None:
    watched = Watched(activation="relu", init="he", optimizer="sgd", learning_rate=1e9)
    watched.lab.do({"do": "play"})
    watched.lab.wants_frame = False
    while watched.lab._step_in_s(0.0) is not None:
        watched.lab.turn()
    watched.lab.ready_for_frame()
    assert watched.last("frame")["broke"]["step"] == 1
