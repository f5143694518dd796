"""How several ranks' recordings become one: with invented numbers, so that every merged one is known."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

import headwater as hw
from headwater.i18n import use_language
from headwater.keeping import Kept
from headwater.probes.names import clean
from headwater.recorded.together import TogetherRun
from headwater.records import Flow, InputError, Moments
from headwater.records.place import Place, Wrapper
from headwater.store import Writer
from headwater.store.columns import COURSE, PARAMETERS, SITES
from headwater.store.together import EXACT_CELLS
from tests.helpers import ROOT

Elements = NDArray[np.float64]


def moments(values: Elements) -> Moments:
    finite = values[np.isfinite(values)]
    spoiled = {"nan_count": int(np.isnan(values).sum()), "inf_count": int(np.isinf(values).sum())}
    if not finite.size:
        return Moments(count=values.size, **spoiled)
    exponent = math.frexp(float(np.abs(finite).max()))[1]
    finite = np.ldexp(finite, -exponent)
    mean = float(finite.mean())
    return Moments(
        count=values.size,
        zero_count=int((finite == 0).sum()),
        exponent=exponent,
        scaled_mean=mean,
        scaled_abs_mean=float(np.abs(finite).mean()),
        scaled_m2=float(((finite - mean) ** 2).sum()),
        min=math.ldexp(float(finite.min()), exponent),
        max=math.ldexp(float(finite.max()), exponent),
        **spoiled,
    )


def site_row(values: Elements, gradient: Elements) -> list[float]:
    """A site's numbers, from all its elements."""
    a, g = moments(values), moments(gradient)
    known = {
        "activation_rms": a.rms,
        "activation_mean": a.mean,
        "activation_std": a.std,
        "activation_abs_max": a.abs_max,
        "activation_count": a.count,
        "activation_nan": a.nan_count,
        "activation_inf": a.inf_count,
        "zero_fraction": a.zero_fraction,
        "activation_grad_rms": g.rms,
        "activation_grad_abs_max": g.abs_max,
        "activation_grad_nan": g.nan_count,
        "activation_grad_inf": g.inf_count,
        "activation_grad_zero_fraction": g.zero_fraction,
        "forward_gain": None if a.rms is None else a.rms / 2.0,
    }
    return [math.nan if (number := known.get(name)) is None else float(number) for name in SITES]


def together(run: Path) -> TogetherRun:
    """A run of several ranks."""
    opened = hw.open_run(run)
    assert isinstance(opened, TogetherRun)
    return opened


def parameter_row(values: Elements, gradient: Elements) -> list[float]:
    v, g = moments(values), moments(gradient)
    known = {
        "value_rms": v.rms,
        "value_abs_max": v.abs_max,
        "value_nan": v.nan_count,
        "value_inf": v.inf_count,
        "grad_rms": g.rms,
        "grad_norm": g.norm,
        "grad_abs_max": g.abs_max,
        "grad_nan": g.nan_count,
        "grad_inf": g.inf_count,
    }
    return [math.nan if (number := known.get(name)) is None else float(number) for name in PARAMETERS]


def writer_of(path: Path, rank: int, world: int, wrapper: Wrapper = "ddp", piece: str | None = None) -> Writer:
    place = Place(rank, world, world, rank, wrapper)
    writer = Writer(path, {"model": "Net"}, rank=rank, place=place)
    like = {"op": "Linear", "kind": "affine", "module": "", "parameters": ["a.weight"]}
    writer.add_rows("sites", [{"name": "a", "order": 0, **like}])
    here = {"piece": piece, "here": 3} if piece is not None else {}
    writer.add_rows("parameters", [{"name": "a.weight", "shape": [3, 2], **here}])
    return writer


def write(writer: Writer, step: int, values: Elements, gradient: Elements, weights: Elements, given: Elements) -> None:
    writer.step(
        step,
        {
            "sites": np.array([site_row(values, gradient)]),
            "parameters": np.array([parameter_row(weights, given)]),
            "course": np.zeros((1, len(COURSE))),
        },
        loss=float(step),
    )


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e150])
@pytest.mark.parametrize("spoiled", [False, True])
def test_merged_numbers_are_those_of_all_elements(tmp_path: Path, scale: float, spoiled: bool) -> None:
    chance = np.random.default_rng(0)
    sizes = [7, 1, 0, 12]  # uneven, one element, none
    values = [scale * chance.normal(0.3, 1.0, size) for size in sizes]
    gradients = [scale * chance.normal(0.0, 1.0, size) for size in sizes]
    if spoiled:
        values[0][2], values[3][1], gradients[3][0], values[0][0] = np.nan, np.inf, -np.inf, 0.0
    weights = [scale * chance.normal(0.0, 1.0, 3) for _ in sizes]
    for rank in range(4):
        writer = writer_of(tmp_path / "run", rank, 4, "fsdp", f"0:{rank}")
        write(writer, 0, values[rank], gradients[rank], weights[rank], weights[rank])
        writer.close()
    run = hw.open_run(tmp_path / "run")
    whole = site_row(np.concatenate(values), np.concatenate(gradients) / 4)
    for name, wanted in zip(SITES, whole, strict=True):
        if name not in ("forward_gain", "grad_rms", "update_ratio"):  # which hang on what is not in these
            np.testing.assert_allclose(run.read(name)[1], wanted, rtol=1e-12, err_msg=name)
    whole = parameter_row(np.concatenate(weights), np.concatenate(weights))
    for name, wanted in zip(PARAMETERS, whole, strict=True):
        np.testing.assert_allclose(run.read_parameters(name)[1], wanted, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(run.read("grad_rms")[1], moments(np.concatenate(weights)).rms, rtol=1e-12)


def test_what_all_ranks_hold_counts_once(tmp_path: Path) -> None:
    weights = np.arange(1.0, 7.0)
    for rank in range(3):
        writer = writer_of(tmp_path / "run", rank, 3)
        write(writer, 0, np.ones(2), np.ones(2), weights, weights / 10)
        writer.close()
    run = hw.open_run(tmp_path / "run")
    assert run.read_parameters("grad_norm")[1].item() == pytest.approx(np.linalg.norm(weights / 10))
    assert run.read("activation_count")[1].item() == 6


def steps_of(path: Path) -> list[int]:
    return [int(step) for step in hw.open_run(path).read("activation_rms")[0]]


def recorded(path: Path, rank: int, steps: list[int], world: int = 2, close: bool = True) -> Writer:
    writer = writer_of(path, rank, world)
    for step in steps:
        write(writer, step, np.ones(2) * (rank + 1), np.ones(2), np.ones(6), np.ones(6))
    if close:
        writer.close()
    return writer


def test_step_is_there_once_every_rank_has_it(tmp_path: Path) -> None:
    running = [recorded(tmp_path / "run", 0, [0, 1, 2, 4, 6], close=False)]
    running.append(recorded(tmp_path / "run", 1, [0, 2, 4], close=False))
    assert steps_of(tmp_path / "run") == [0, 2, 4], "rank 1 did not measure step 1, and has yet to come to 6"
    running[1].close()
    assert steps_of(tmp_path / "run") == [0, 2, 4, 6], "rank 1 has ended, and is not waited for"
    running[0].close()


def test_restart_is_another_pass_over_the_same_steps(tmp_path: Path) -> None:
    for rank, first in ((0, [0, 1, 2, 3]), (1, [0, 1])):
        recorded(tmp_path / "run", rank, first)
        recorded(tmp_path / "run", rank, [1, 2, 3])
    run = hw.open_run(tmp_path / "run")
    steps, rms = run.read("activation_rms")
    assert steps.tolist() == [0, 1, 2, 3, 1, 2, 3]
    both, alone = math.sqrt(2.5), 1.0
    np.testing.assert_allclose(rms[0], [both, both, alone, alone, both, both, both])


def test_range_thinning_and_axes_are_as_of_one_rank(tmp_path: Path) -> None:
    for rank in range(2):
        recorded(tmp_path / "run", rank, list(range(40)))
    run = hw.open_run(tmp_path / "run")
    assert run.read("activation_rms", start=10, stop=13)[0].tolist() == [10, 11, 12]
    assert run.read("activation_rms", start=10, stop=13, axis="seq")[0].tolist() == [10, 11, 12]
    points, values = run.read("activation_rms", max_points=10)
    assert len(points) <= 10
    np.testing.assert_allclose(values, math.sqrt(2.5))
    assert run.read("activation_rms", sites=[])[1].shape == (0, 40)
    assert len(run) == 40
    assert run.loss_of_steps() == [float(step) for step in range(40)]


def test_long_run_is_read_from_what_stands_for_several_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in range(2):
        recorded(tmp_path / "run", rank, list(range(400)))
    monkeypatch.setattr("headwater.recorded.together.EXACT_CELLS", 1)
    assert EXACT_CELLS > 1
    points, values = hw.open_run(tmp_path / "run").read("activation_rms", max_points=10)
    assert 1 < len(points) <= 10
    np.testing.assert_allclose(values, math.sqrt(2.5))


def test_following_gives_each_step_once(tmp_path: Path) -> None:
    writers = [recorded(tmp_path / "run", rank, [0, 1], close=False) for rank in range(2)]
    run = hw.open_run(tmp_path / "run")
    first = run.follow(None)
    assert first.steps.tolist() == [0, 1]
    write(writers[0], 2, np.ones(2), np.ones(2), np.ones(6), np.ones(6))
    assert run.follow(first.cursor).steps.tolist() == []
    write(writers[1], 2, np.ones(2), np.ones(2), np.ones(6), np.ones(6))
    second = run.follow(first.cursor)
    assert second.steps.tolist() == [2]
    assert second.values["activation_grad_rms"].shape == (1, 1)
    for writer in writers:
        writer.close()
    assert run.follow(second.cursor).state.name == "ended"


@pytest.mark.parametrize("last", [44, 40, 63, 64])
def test_ranks_that_look_closely_at_other_times_have_kept_a_step_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """One every fourth step, the other every sixteenth; both keep the latest ones only."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, stride in ((0, 4), (1, 16)):
        monkeypatch.setenv("RANK", str(rank))
        kept = Kept(nn.Linear(1, 1), tmp_path / "run", None, {}, 1 << 30, Place(rank, 2, 2, rank, "ddp"))
        for step in range(0, last + 1, stride):
            kept.thorough(Flow((), (), None, None, step=step), step)
        kept.close("closed", {})
    flows = together(tmp_path / "run").flows_by_rank()
    assert {rank: flow.step for rank, flow in flows.items()} == dict.fromkeys((0, 1), last - last % 16)


@pytest.mark.parametrize(
    ("wrapped", "plain"),
    [
        ("_orig_mod.a.weight", "a.weight"),
        ("a._fsdp_wrapped_module.b._checkpoint_wrapped_module.bias", "a.b.bias"),
        ("a._orig_mod", "a"),
        ("_orig_mod", ""),
        ("my_orig_model.a", "my_orig_model.a"),
    ],
)
def test_names_are_those_without_wrappers(wrapped: str, plain: str) -> None:
    assert clean(wrapped) == plain


def test_rank_that_is_missing_is_named(tmp_path: Path) -> None:
    recorded(tmp_path / "run", 0, [0], world=3)
    recorded(tmp_path / "run", 2, [0], world=3)
    states = together(tmp_path / "run").health()
    assert [(state.rank, state.name) for state in states] == [(0, "ended"), (1, "missing"), (2, "ended")]
    assert "Rank 1 has recorded nothing" in str(states[1].message)


def test_rank_by_itself_or_an_error_that_says_which_there_are(tmp_path: Path) -> None:
    recorded(tmp_path / "run", 0, [0, 1])
    recorded(tmp_path / "run", 1, [0])
    assert len(hw.open_run(tmp_path / "run", rank=1)) == 1
    with pytest.raises(InputError, match=r"run has nothing of rank 4; there is 0, 1\."):
        hw.open_run(tmp_path / "run", rank=4)


def test_run_of_one_process_reads_as_it_did(tmp_path: Path) -> None:
    recorded(tmp_path / "run", 0, [0, 1], world=1)
    run = hw.open_run(tmp_path / "run")
    assert type(run) is hw.Run
    assert not run.is_merged
    assert hw.open_run(tmp_path / "run", rank=0).read("activation_rms")[0].tolist() == [0, 1]


def test_two_ranks_may_begin_a_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other has written run.json between the look for it and the look at what else there is."""
    recorded(tmp_path / "run", 0, [0])
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: self.name != "run.json" and exists(self))
    recorded(tmp_path / "run", 1, [0])
    monkeypatch.undo()
    assert hw.open_run(tmp_path / "run").ranks == [0, 1]


def test_sentences_about_ranks_are_in_both_languages(tmp_path: Path) -> None:
    recorded(tmp_path / "run", 0, [0], world=2)
    recorded(tmp_path / "run", 1, [0], world=2)
    shutil.rmtree(tmp_path / "run" / "start-0001.rank-1")
    recorded(tmp_path / "run", 2, [0], world=3)
    run = hw.open_run(tmp_path / "run")
    with use_language("ko"):
        said = [str(event.message) for event in run.events() if event.message.id.startswith("event.rank_")]
    assert said == ["있어야 할 랭크 1의 기록이 없습니다. hw.watch에 이르지 못했거나 다른 폴더에 기록했습니다."]


def test_page_about_ranks_is_there_in_both_languages() -> None:
    english, korean = ((ROOT / "docs" / f"distributed{end}.md").read_text(encoding="utf-8") for end in ("", ".ko"))
    assert english.count("\n## ") == korean.count("\n## ")
    assert english.count("```") == korean.count("```")


def test_page_runs(tmp_path: Path) -> None:
    english, korean = (code_of(f"distributed{end}.md") for end in ("", ".ko"))
    assert [line.split("  #")[0] for line in english.splitlines()] == [
        line.split("  #")[0] for line in korean.splitlines()
    ]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [sys.executable, "-W", "ignore", "-c", english]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("healthy", "findings", "cannot_tell")


def code_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
