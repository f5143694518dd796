"""What the guided pages need of the lab's page: heads of their own, numbers over a plane, every factor of a weight."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.i18n.catalog import text
from headwater.lab.guides import GUIDES
from tests.browser.conftest import Open, Opened
from tests.browser.laboratory import Laboratory

STEP = "() => Number(document.querySelector('.readout dd')?.innerText.replace(',', '') ?? -1)"
PIXELS = """() => {
  const canvas = document.querySelector("#plane-a canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let i = 0; i < data.length; i += 4) found.add(`${data[i] >> 4},${data[i + 1] >> 4},${data[i + 2] >> 4}`);
  return found.size;
}"""


def entered(visit: Open, lab: Laboratory, fragment: str, **settings: Any) -> Opened:
    opened = visit(lab.url(fragment), wait=False, **settings)
    opened.page.wait_for_selector("html[data-live] .river", timeout=120_000)
    return opened


def numbers(cell: str) -> list[float]:
    return [float(part.replace("−", "-").replace("×", "")) for part in cell.split("·")]


def test_small_network_is_written_out_unit_by_unit(visit: Open, lab: Laboratory) -> None:
    opened = entered(visit, lab, "lesson=perceptron-forward")
    page = opened.page
    page.get_by_role("button", name="Work it out").click()
    page.wait_for_selector(".units-table")
    rows = [row.locator("th, td").all_inner_texts() for row in page.locator(".units-table tbody tr").all()]
    assert [row[0].split()[0] for row in rows] == ["x", "p1", "a2", "p2"]
    p1, a2, slopes = numbers(rows[1][1]), numbers(rows[2][1]), numbers(rows[2][2])
    for p, a, slope in zip(p1, a2, slopes, strict=True):
        assert a == pytest.approx(1 / (1 + 2.718281828**-p), abs=5e-3)
        assert slope == pytest.approx(a * (1 - a), abs=5e-3)
    assert numbers(rows[1][3])[0] == pytest.approx(numbers(rows[2][3])[0] * slopes[0], rel=2e-2)
    told = page.inner_text(".trace .product >> nth=1")
    error, activation = numbers(rows[1][3])[0], numbers(rows[0][1])[0]
    assert str(round(error * activation, 3)) in told or f"{error * activation:.2g}" in told
    assert opened.complaints == []


def test_weight_of_a_wide_network_ends_in_its_own_factors(visit: Open, lab: Laboratory) -> None:
    opened = entered(visit, lab, "layer=3")
    page = opened.page
    page.get_by_label("to unit").fill("5")
    page.get_by_label("from unit").fill("7")
    page.get_by_label("from unit").press("Enter")
    page.get_by_role("button", name="Work it out").click()
    page.wait_for_selector(".trace tbody tr")
    names = page.locator(".trace tbody th").all_inner_texts()
    assert names[-2:] == ["error of unit 5 alone", "what the weight multiplies"]
    assert sum("linear" in name for name in names) == 16  # linear4 to linear19; the weight is in linear3
    assert not any("linear3" in name for name in names)
    assert "agrees with autograd" in page.inner_text(".trace .product")
    assert page.inner_text(".trace .product b").lstrip("−") == page.locator(".trace tbody td").last.inner_text()
    assert opened.complaints == []


def test_numbers_over_a_plane_are_drawn_and_learnt(visit: Open, lab: Laboratory) -> None:
    opened = entered(visit, lab, "lab=data.surface~depth.4~activation.relu~init.he~output.tanh~learning_rate.0.005")
    page = opened.page
    page.wait_for_selector("#plane-a canvas")
    opened.until(f"({PIXELS})() > 20")
    assert "blue for high ones" in page.inner_text("#plane-a")
    page.evaluate("() => { window.before = document.querySelector('#plane-a canvas').toDataURL(); }")
    page.get_by_role("button", name="Play").click()
    opened.until(f"({STEP})() > 200", timeout_s=120)
    # The numbers of the plane come behind the steps, and the later the more there is to do.
    opened.until("document.querySelector('#plane-a canvas').toDataURL() !== window.before", timeout_s=120)
    assert opened.complaints == []


def test_output_has_a_control_beside_the_other_activation(visit: Open, lab: Laboratory) -> None:
    opened = entered(visit, lab, "lab=depth.3~width.8")
    page = opened.page
    assert page.locator("section[aria-labelledby=group-network] #control-output").count() == 1
    page.select_option("#control-output", "tanh")
    opened.until("document.querySelector('#flow').innerText.length > 0 && location.hash.includes('output.tanh')")
    assert opened.complaints == []


def test_experiment_without_steps_trains_nothing(visit: Open, lab: Laboratory) -> None:
    opened = entered(visit, lab, "lesson=backprop")
    page, guide = opened.page, GUIDES["backprop"]
    assert guide.experiment.steps == 0
    for scene in guide.story:
        opened.until(f"({STEP})() >= {scene.steps}", timeout_s=120)
        page.get_by_role("button", name="Next", exact=True).click()
    page.locator(".question input").nth(guide.answer).check()
    page.get_by_role("button", name="Next", exact=True).click()
    assert text("lab.page.experiment_look", language="en") in page.inner_text(".lesson")
    page.get_by_role("button", name="Run the experiment").click()
    page.wait_for_selector(".reveal.healthy", timeout=120_000)
    page.wait_for_timeout(1000)
    assert page.evaluate(STEP) == 0
    assert page.evaluate("() => document.querySelectorAll('#flow .arrives')[0].dataset.log10") in ("-inf", "-Infinity")
