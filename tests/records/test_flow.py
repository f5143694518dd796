"""The table that scripts rely on."""

import sys

import pytest

from headwater.kernels.reference import moments
from headwater.records import Flow, Moments, ParameterFlow, Site, SiteFlow

COLUMNS = [
    *("site", "op", "order", "activation_rms", "activation_grad_rms", "forward_gain", "backward_gain"),
    *("derivative_rms", "zero_fraction", "dead_fraction", "saturated_fraction", "abs_cosine", "effective_rank"),
    *("grad_rms", "update_ratio"),
]


def site(name: str, order: int) -> Site:
    return Site(name, "Linear", "affine", order, module=name)


FULL = SiteFlow(
    site("first", 0),
    activation=moments([3.0, 0.0, 0.0, 4.0]),
    activation_grad=moments([2e-300]),
    input=moments([10.0]),
    input_grad=moments([1e-300]),
    derivative_rms=0.21,
    dead_fraction=0.22,
    saturated_fraction=0.23,
    abs_cosine=0.24,
    effective_rank=2.5,
    grad_rms=0.26,
    update_ratio=0.27,
)
BARE = SiteFlow(site("second", 1), activation=Moments())
FLOW = Flow(sites=(FULL, BARE), parameters=(), path=None, loss=1.0)


def test_rows_have_the_columns_in_order() -> None:
    assert [list(row) for row in FLOW.rows()] == [COLUMNS, COLUMNS]


def test_rows_hold_what_was_measured() -> None:
    row = FLOW.rows()[0]
    assert row["activation_rms"] == pytest.approx(2.5)
    assert row["activation_grad_rms"] == pytest.approx(2e-300)
    assert row["forward_gain"] == pytest.approx(0.25)
    assert row["backward_gain"] == pytest.approx(0.5)
    assert row["zero_fraction"] == 0.5
    assert [row[name] for name in ("site", "op", "order")] == ["first", "Linear", 0]
    assert [row[name] for name in COLUMNS[-7:] if name != "zero_fraction"] == [0.22, 0.23, 0.24, 2.5, 0.26, 0.27]
    assert row["derivative_rms"] == 0.21


def test_what_was_not_measured_is_none() -> None:
    row = FLOW.rows()[1]
    assert {name for name in COLUMNS if row[name] is not None} == {"site", "op", "order"}


def test_to_pandas_has_the_same_table() -> None:
    pytest.importorskip("pandas")
    frame = FLOW.to_pandas()
    assert list(frame.columns) == COLUMNS
    assert list(frame["site"]) == ["first", "second"]
    assert frame["activation_grad_rms"][0] == pytest.approx(2e-300)
    assert list(Flow(sites=(), parameters=(), path=None, loss=1.0).to_pandas().columns) == COLUMNS


def test_to_pandas_without_pandas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pip install "headwater\[pandas\]"'):
        FLOW.to_pandas()


def test_gain_beyond_float64_is_infinite() -> None:
    row = SiteFlow(site("first", 0), activation=moments([1e300]), input=moments([1e-300]))
    assert row.forward_gain == float("inf")
    assert SiteFlow(site("first", 0), activation=moments([1.0]), input=moments([0.0])).forward_gain is None


def test_site_is_found_by_name() -> None:
    assert FLOW.site("second") is BARE
    with pytest.raises(KeyError, match="no site 'secnd' among 2; the nearest names are second"):
        FLOW.site("secnd")
    with pytest.raises(KeyError, match="nearest names are none"):
        Flow(sites=(), parameters=(), path=None, loss=1.0).site("0")


def test_parameter_gradient_reads_its_moments() -> None:
    parameter = ParameterFlow("w", (), (2,), "float32", True, value=moments([1.0]), grad=moments([3.0, 4.0]))
    assert parameter.grad_norm == pytest.approx(5.0)
    assert parameter.grad_rms == pytest.approx(12.5**0.5)
    frozen = ParameterFlow("w", (), (2,), "float32", False, value=moments([1.0]))
    assert (frozen.grad_norm, frozen.grad_rms) == (None, None)
