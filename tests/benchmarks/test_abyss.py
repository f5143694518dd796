"""The benchmark of the abyss: it goes on where it was broken off, and its page says what its figures say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from benchmarks.abyss import networks, page, picture
from benchmarks.abyss import run as abyss
from benchmarks.abyss.networks import Attempt

SMALL = Attempt(layers=3, rates=(3e-3,), seeds=(0, 1), steps=40)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """One part that trains in no time, in this process, and what was run of it."""
    ran: list[tuple[float, int]] = []

    class Here:
        """In the place of a process of its own."""

        def __init__(self, threads: int) -> None:
            assert threads == 1

        def __enter__(self) -> "Here":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def call(self, job, *arguments):
            if job is abyss.run:
                ran.append(arguments[1:])
                return {**RUN, "rate": arguments[1], "seed": arguments[2]}
            return BEFORE

    monkeypatch.setattr(abyss, "Worker", Here)
    monkeypatch.setattr(abyss, "PARTS", {"relu": replace(SMALL, rates=(1e-3, 1e-4), seeds=(0,)), "four": SMALL})
    return ran


RUN = {"test": 0.9, "training": 1.0, "losses": [2.0, 1.0], "cpu_s": 2.0, "wall_s": 3.0, "peak_gib": 0.5}
BEFORE = [{"layer": layer, "gradient_rms": 1e-3, "abs_cosine": 0.5, "effective_rank": 9.0} for layer in (1, 500, 1000)]


def test_what_is_there_is_not_run_again_unless_asked(few: list, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    abyss.main(["--only", "four", "--seeds", "1", "--out", str(tmp_path)])
    assert few == [(3e-3, 0)]
    abyss.main(["--out", str(tmp_path)])
    assert few[1:] == [(1e-3, 0), (1e-4, 0), (3e-3, 1)]
    abyss.main(["--out", str(tmp_path)])
    assert len(few) == 4
    abyss.main(["--only", "four", "--again", "--out", str(tmp_path)])
    assert few[4:] == [(3e-3, 0), (3e-3, 1)]
    kept = json.loads((tmp_path / "abyss.json").read_text())["parts"]
    assert [(one["rate"], one["seed"]) for one in kept["four"]["runs"]] == [(3e-3, 0), (3e-3, 1)]
    assert "0.900 at the best of 2 rates" in capsys.readouterr().out


def test_other_settings_are_other_results(few: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    abyss.main(["--only", "four", "--out", str(tmp_path)])
    monkeypatch.setitem(abyss.PARTS, "four", replace(SMALL, steps=50))
    abyss.main(["--only", "four", "--out", str(tmp_path)])
    assert len(few) == 4


def test_a_small_network_learns_and_is_seen_before_it_does() -> None:
    found = networks.run(SMALL, 3e-3, 0)
    assert found["test"] > 0.8
    assert len(found["losses"]) == SMALL.steps
    assert found["losses"][-1] < 0.5 * found["losses"][0]
    assert found["cpu_s"] > 0
    seen = networks.seen(SMALL)
    assert [row["layer"] for row in seen] == [1, 2, 3]
    assert all(0 < row["gradient_rms"] < 1 and 0 < row["abs_cosine"] < 1 for row in seen)


def test_healthy_gradients_and_merged_inputs_at_a_hundred_layers() -> None:
    """What the page says of He's weights, by the benchmark's own measurement."""
    he, mirrored = (
        networks.seen(replace(SMALL, remedies=(remedy,), layers=100)) for remedy in ("init.he", "init.mirrored")
    )
    assert 0.1 < he[0]["gradient_rms"] / he[-1]["gradient_rms"] < 10
    assert he[-1]["abs_cosine"] > 0.95 > mirrored[-1]["abs_cosine"]
    assert he[-1]["effective_rank"] < 3 < mirrored[-1]["effective_rank"]


def test_rates_rise_and_then_fall_to_none() -> None:
    shares = [networks.share(step, 60) for step in range(60)]
    assert max(shares) == shares[9] == shares[10] == 1.0
    assert shares[0] == 0.1
    assert 0 < shares[-1] < 0.03


CURE = {
    "verdict": "proven",
    "remedies": ["init.mirrored", "optimisation.depth_rate"],
    "candidates": [{"remedies": [], "standing": "original", "rate": 1.0, "steps": 60, "metric": 0.1, "failure": ""}],
    "notes": [{"id": "cure.note_merges", "values": {"remedies": "init.he", "after": 533, "layers": 1000}, "text": ""}],
    "metric_before": 0.1,
    "metric_after": 0.95,
    "proof": {
        "interval": [0.8, 0.9],
        "placebo": 0.1,
        "random_remedy": 0.2,
        "cost": {"step_s_before": 0.1, "step_s_after": 0.2},
    },
}


def test_page_tells_what_was_found_and_that_four_layers_do_as_well(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the bench extra draws the picture")
    part = {"before": BEFORE, "runs": [{**RUN, "rate": 2e-5, "seed": 0}]}
    four = {"before": [], "runs": [{**RUN, "rate": 3e-3, "seed": 0, "test": 0.95, "cpu_s": 0.02}]}
    parts = {"relu-mirrored": part, "deep": part, "four": four, "fix-relu": abyss.told_of(CURE, 60, 100.0, 150.0)}
    sections = page.sections({"machine": MACHINE, "quick": False, "parts": parts})
    assert "0.900 at 2e-05" in sections["thousand"]
    assert "`init.mirrored` + `optimisation.depth_rate` | 0.100 → 0.950 | 0.800 to 0.900" in sections["fix"]
    assert "not tried, for by theory it merges all inputs within 533 layers: init.he." in sections["fix"]
    assert "**A network of four layers scores as well**: 0.950" in sections["deep"]
    assert "0.900 for 100 times as much" in sections["deep"]
    picture.draw(parts, tmp_path / "abyss.svg", page.LABELS)
    assert "mirrored" in (tmp_path / "abyss.svg").read_text()


def test_a_cure_that_is_not_proven_has_a_row_too() -> None:
    failed = {
        **CURE,
        "verdict": "not_proven",
        "remedies": [],
        "metric_before": None,
        "metric_after": None,
        "proof": None,
    }
    row = page.fix_row("fix-relu", abyss.told_of(failed, 60, 1.0, 2.0))
    assert len(row) == len(page.HEADS["fix"])
    assert row[1] == "not proven"


MACHINE = {
    **dict.fromkeys(("cpu", "cpu_capability", "torch", "python", "system", "headwater", "commit", "date"), "x"),
    **dict.fromkeys(("cores", "threads", "memory_gib", "load_1_min"), 1),
    "packages": {},
}


def test_page_has_the_places_that_are_rewritten() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    for name in page.HEADS:
        assert f"<!-- {name}: generated -->" in text
        assert f"<!-- {name}: end -->" in text
