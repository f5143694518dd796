"""Two runs side by side: what is aligned, what is not, and the largest differences in words."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headwater as hw
from headwater.i18n import text
from headwater.recorded.compare import _SCALES, _SHARES, align, compare
from headwater.records import Message
from headwater.records.site import Site
from headwater.report.words import Words
from headwater.store import Writer
from headwater.store.columns import SITES


def site(name: str, op: str = "Linear", width: int = 8, order: int = 0) -> Site:
    return Site(name, op, "affine", order, name, shape=(32, width))


def synthetic(path: Path, names: list[str], change: Any = None, steps: int = 100) -> hw.Run:
    writer = Writer(path)
    writer.add_rows(
        "sites", [{"name": n, "order": i, "op": "Linear", "kind": "affine", "module": n} for i, n in enumerate(names)]
    )
    for step in range(steps):
        table = np.ones((len(names), len(SITES)))
        for name in SITES:
            if name.endswith(("_nan", "_inf", "fraction")):
                table[:, SITES.index(name)] = 0.0
        loss = change(step, table) if change is not None else None
        writer.step(step, {"sites": table}, 1.0 if loss is None else loss)
    writer.close()
    return hw.open_run(path)


def test_sites_of_one_name_are_aligned_and_renamed_ones_by_what_they_are() -> None:
    a = [site("in"), site("h.0", width=16), site("act.0", "ReLU"), site("gone", "Dropout"), site("out", width=3)]
    b = [
        site("in"),
        site("hidden.0", width=16),
        site("activation.0", "ReLU"),
        site("out", width=3),
        site("x", "Softmax"),
    ]
    pairs, renamed, only_a, only_b = align(a, b)
    assert pairs == [(0, 0), (1, 1), (2, 2), (4, 3)]
    assert [(pair.a, pair.b) for pair in renamed] == [("h.0", "hidden.0"), ("act.0", "activation.0")]
    assert (only_a, only_b) == (("gone",), ("x",))


def test_sites_of_another_width_are_not_the_same() -> None:
    _, renamed, only_a, only_b = align([site("a", width=8)], [site("b", width=9)])
    assert (renamed, only_a, only_b) == ((), ("a",), ("b",))


def test_the_three_largest_differences_in_order(tmp_path: Path) -> None:
    def change(step: int, table: Any) -> float | None:
        if step >= 40:
            table[1, SITES.index("activation_grad_rms")] = 1e-6
            table[2, SITES.index("activation_grad_rms")] = 1e-4
            table[0, SITES.index("dead_fraction")] = 0.9
            table[2, SITES.index("update_ratio")] = 2.0
            table[1, SITES.index("activation_rms")] = 1.1
        return 10.0 if step > 50 else None

    names = ["s0", "s1", "s2"]
    a, b = synthetic(tmp_path / "a", names), synthetic(tmp_path / "b", names, change)
    found = compare(a, b)
    first, second, third = found.differences
    assert (first.name, first.site, first.a, first.b) == ("activation_grad_rms", "s1", 1.0, 1e-6)
    assert first.decades == pytest.approx(6.0)
    assert first.sites == 2
    assert 40 <= (first.from_step or 0) <= 41
    assert (second.name, second.site, second.decades) == ("dead_fraction", "s0", pytest.approx(2.7))
    assert (third.kind, third.name, third.a, third.b) == ("scalar", "loss", 1.0, 10.0)
    assert found.largest == pytest.approx({"s0": 2.7, "s1": 6.0, "s2": 4.0}, rel=1e-3)
    assert [d.name for d in compare(b, a).differences] == [d.name for d in found.differences]


def test_runs_of_one_training_differ_in_nothing(tmp_path: Path) -> None:
    a, b = synthetic(tmp_path / "a", ["x"]), synthetic(tmp_path / "b", ["x"])
    found = compare(a, b)
    assert (found.differences, found.aligned, found.last_step) == ((), 1, 99)


def test_nan_on_one_side_comes_before_everything_finite(tmp_path: Path) -> None:
    def change(step: int, table: Any) -> None:
        table[0, SITES.index("activation_grad_rms")] = 1e-30
        if step >= 70:
            table[1, SITES.index("activation_nan")] = 5.0

    a, b = synthetic(tmp_path / "a", ["x", "y"]), synthetic(tmp_path / "b", ["x", "y"], change)
    first = compare(a, b).differences[0]
    assert (first.kind, first.site, first.from_step, first.a, first.b) == ("nonfinite", "y", 70, 0.0, 5.0)


def test_only_steps_that_both_have_are_compared(tmp_path: Path) -> None:
    def change(step: int, table: Any) -> None:
        if step >= 60:
            table[0, SITES.index("activation_rms")] = 100.0

    a, b = synthetic(tmp_path / "a", ["x"], steps=50), synthetic(tmp_path / "b", ["x"], change)
    assert compare(a, b).last_step == 49
    assert compare(a, b).differences == ()


def test_a_run_without_steps_is_compared_by_its_sites_alone(tmp_path: Path) -> None:
    Writer(tmp_path / "a").close()
    found = compare(hw.open_run(tmp_path / "a"), synthetic(tmp_path / "b", ["x"]))
    assert (found.aligned, found.only_b, found.last_step, found.differences) == (0, ("x",), None, ())


@pytest.mark.parametrize("language", ["en", "ko"])
def test_differences_are_told_in_the_words_of_the_language(language: str) -> None:
    values = {"site": "1", "a": "x", "b": "y", "value_a": 0.5, "value_b": 0.25, "decades": 1.0} | dict.fromkeys(
        ("sites", "aligned", "step"), 1
    )
    for ids, message in ((_SCALES, "compare.scale"), (_SHARES, "compare.share")):
        for id_ in ids:
            said = Words.of(language).say(Message(message, {"statistic": id_, **values}))
            assert id_ not in said
            assert text(f"statistic.{id_}", {}, language) in said


def test_what_was_not_finite_first_is_told_and_not_what_stands_first(tmp_path: Path) -> None:
    """Later the NaN has reached the first site, through the weights; at its first step it was in the last ones."""

    def change(step: int, table: Any) -> None:
        if step >= 700:
            table[0, SITES.index("activation_grad_nan")] = 5.0
            table[2, SITES.index("activation_nan")] = 5.0
        if step >= 701:
            table[:, SITES.index("activation_nan")] = 5.0

    names = ["x", "y", "z"]
    a, b = synthetic(tmp_path / "a", names, steps=900), synthetic(tmp_path / "b", names, change, steps=900)
    first = compare(a, b).differences[0]
    assert (first.kind, first.site, first.from_step) == ("nonfinite", "z", 700)


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    made = synthetic(tmp_path / "a", ["x"])
    assert made.name == "a"
    for folder in ("b", "other/a"):
        shutil.copytree(tmp_path / "a", tmp_path / folder)
    a, b, other = (hw.open_run(tmp_path / folder) for folder in ("a", "b", "other/a"))
    assert [(compare(a, second).a, compare(a, second).b) for second in (b, other)] == [("a", "b"), ("a (A)", "a (B)")]
