"""What a sweep is: read from a file, every mistake told with its line and what was meant."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.records import InputError
from headwater.sweeps.spec import Source, read_spec, spec_of

GOOD = """
name = "edge"
steps = 10
seeds = 2
[axes]
depth = [5, 10]
sigma_w = { from = 1.0, to = 2.0, count = 5 }
width = { from = 4, to = 64, count = 3, spaced = "log" }
activation = ["tanh", "relu"]
[fixed]
learning_rate = 0.1
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    spec = read_spec(written(tmp_path, GOOD))
    assert spec.axes["sigma_w"] == (1.0, 1.25, 1.5, 1.75, 2.0)
    assert spec.axes["width"] == (4, 16, 64)
    assert all(type(value) is int for value in spec.axes["width"])
    jobs = spec.jobs()
    assert len(jobs) == 2 * 2 * 5 * 3 * 2
    assert len({job.key for job in jobs}) == len(jobs)
    assert jobs[0].point == {"depth": 5, "sigma_w": 1.0, "width": 4, "activation": "tanh"}
    assert [job.seed for job in jobs] == sorted(job.seed for job in jobs), "every point has one before any has two"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("steps = 10", "stepz = 10", 3, "Did you mean steps?"),
        ("steps = 10", "steps = 0", 3, "whole number from 1"),
        ("seeds = 2", "seeds = true", 4, "whole number from 1"),
        ("depth = [5, 10]", "depth = 5", 6, "depth takes a list"),
        ("depth = [5, 10]", "depth = []", 6, "depth takes a list"),
        ("depth = [5, 10]", "depth = [5, 5]", 6, "twice"),
        ("depth = [5, 10]", 'depth = [5, "x"]', 6, "all numbers or all words"),
        ("depth = [5, 10]", "depth = [5, inf]", 6, "got inf"),
        ("count = 5", "cuont = 5", 7, "Did you mean count?"),
        ("to = 2.0", "to = 1.0", 7, "must rise"),
        ('spaced = "log"', 'spaced = "cubic"', 8, "spaced"),
        ("from = 4", "from = 0", 8, "from above 0"),
        ("learning_rate = 0.1", "learning_rate = [0.1]", 11, "number, a word, true or false"),
        ("learning_rate = 0.1", "depth = 3", 11, "axis already"),
        ('name = "edge"', 'name = "../edge"', 2, "becomes a folder"),
        ("count = 5", "count = 100000000", 7, "100,000 are the most"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as told:
        read_spec(written(tmp_path, GOOD.replace(old, new)))
    assert said in str(told.value)
    assert "sweep.toml" in str(told.value)
    if "the most" not in said:
        assert f"line {line}:" in str(told.value)


def test_what_is_no_toml_and_what_is_no_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no TOML.*line 1"):
        read_spec(written(tmp_path, "steps = = 3"))
    with pytest.raises(InputError, match="cannot read"):
        read_spec(tmp_path / "nothing.toml")
    with pytest.raises(InputError, match="needs axes"):
        read_spec(written(tmp_path, "steps = 3"))


def test_dotted_keys_have_lines_too() -> None:
    text = "steps = 3\naxes.depth = 5\n"
    with pytest.raises(InputError, match="line 2: depth takes a list"):
        spec_of({"steps": 3, "axes": {"depth": 5}}, Source("a.toml", text))


@given(
    st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-3),
    st.floats(1e-3, 1e6),
    st.integers(2, 40),
    st.booleans(),
)
def test_ranges_rise_from_end_to_end(low: float, span: float, count: int, log: bool) -> None:
    low = abs(low) if log else low
    given_range = {"from": low, "to": low + span, "count": count, "spaced": "log" if log else "linear"}
    values = spec_of({"axes": {"a": given_range}}).axes["a"]
    assert values[0] == pytest.approx(low, rel=1e-9)
    assert values[-1] == pytest.approx(low + span, rel=1e-9)
    assert all(float(a) < float(b) for a, b in pairwise(values))


def test_results_are_kept_under_more_seeds_and_values_but_not_another_experiment() -> None:
    def digest(**changed: object) -> str:
        return spec_of({"axes": {"a": [1, 2]}, "fixed": {"b": 3}, "steps": 5, **changed}).digest

    assert digest() == digest(seeds=4) == digest(axes={"a": [1, 2, 3]})
    others = [digest(steps=6), digest(fixed={"b": 4}), digest(experiment="other:one"), digest(axes={"c": [1]})]
    assert len({digest(), *others}) == 5
