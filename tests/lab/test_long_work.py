"""What takes seconds for one student's network is done in pieces: nobody else waits for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from headwater.lab import landscape, worker
from headwater.lab.landscape import landscape_of
from headwater.lab.slot import Slot
from headwater.lab.spec import Spec
from headwater.lab.worker import Room
from headwater.tracing import layers
from tests.lab.test_session import SMALL, Watched

MONSTER = {"preset": "cnn", "depth": 6, "width": 24, "activation": "relu", "init": "he"}


class Wire:
    """The worker's end of a connection, and what went through it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []

    def send(self, message: tuple[str, str, Any]) -> None:
        self.sent.append(message)

    def answers(self) -> list[tuple[int, int, Any]]:
        return [
            (ticket, status, json.loads(data))
            for word, _, (ticket, status, data) in (m for m in self.sent if m[0] == "answer")
        ]


def room_with(**labs: dict[str, Any]) -> tuple[Room, Wire]:
    wire = Wire()
    room = Room(wire)  # type: ignore[arg-type]
    for ticket, (name, spec) in enumerate(labs.items()):
        room.receive(("open", name, ticket, Spec.from_dict(spec), None, None))
        room.receive(("listen", name, True))
    return room, wire


def test_another_lab_is_answered_while_a_landscape_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PIECE_S", 0.0)
    room, wire = room_with(large=MONSTER, small=SMALL)
    room.receive(("do", "large", 10, {"do": "landscape", "size": 5}))
    room.receive(("do", "small", 11, {"do": "step", "steps": 2}))
    assert [ticket for ticket, _, _ in wire.answers()][2:] == [11]
    assert room.idle_s() == 0.0
    for _ in range(60):
        room.turn()
    tickets = {ticket: (status, data) for ticket, status, data in wire.answers()}
    assert tickets[10][0] == 200
    losses = tickets[10][1]["result"]["losses"]
    assert len(losses) == 5
    assert losses == Watched(**MONSTER).do("landscape", size=5)["losses"]


def test_lab_that_is_closed_meanwhile_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PIECE_S", 0.0)
    room, wire = room_with(large=MONSTER)
    room.receive(("do", "large", 10, {"do": "landscape", "size": 5}))
    room.receive(("close", "large"))
    assert [(ticket, status) for ticket, status, _ in wire.answers()][1:] == [(10, 404)]
    assert room.idle_s() is None


def test_gradients_are_recorded_between_two_points_of_a_landscape() -> None:
    work = landscape_of(Slot(Spec.from_dict(SMALL)), 5)
    next(work)
    assert torch.is_grad_enabled()  # another lab trains now


def test_landscape_of_a_large_network_rests_on_fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "128 " in Watched(depth=5).do("landscape", size=5)["said"]["en"]
    monkeypatch.setattr(landscape, "_MOST_WORK", 1e8)
    assert "16 " in Watched(**MONSTER).do("landscape", size=5)["said"]["en"]


def test_trace_of_convolutions_asks_for_no_jacobian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "jacobian", lambda *_: pytest.fail("this takes seconds"))
    found = Watched(**MONSTER).do("trace", parameter="conv1.weight[0,0,1,1]")
    assert {row["method"] for row in found["layers"]} == {"none"}
    assert all(row["log10_ratio"] is not None for row in found["layers"])
    assert next(check for check in found["checks"] if check["id"] == "own")["status"] == "holds"
