"""The page of a run in a real browser: what it shows, how it is moved through, and what it never does."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from headwater.records import Site
from headwater.report.view import Course, Line, offline_page
from headwater.report.view.page import texts
from tests.browser.conftest import Open, shared_among
from tests.report.view.test_page import hostile_course
from tests.runs import large_course

ROW = """y => {
  const canvas = document.querySelector("canvas[data-drawn-ms]");
  const data = canvas.getContext("2d").getImageData(0, Math.floor(y * canvas.height), canvas.width, 1).data;
  return Array.from({length: canvas.width}, (_, i) => [data[4 * i], data[4 * i + 1], data[4 * i + 2]]);
}"""
DARKEST, BRIGHTEST = [0x44, 0x01, 0x54], [0xFD, 0xE7, 0x25]  # the ends of viridis


def small_course(levels: list[list[float]]) -> Course:
    """A course of a few sites with the gradient's levels as given."""
    table = np.array(levels, np.float32)
    course = large_course(*table.shape)
    return replace(course, levels={"activation_grad_rms": table}, lines=(), events=())


def test_page_asks_nobody_and_complains_of_nothing(visit: Open, report: str) -> None:
    opened = visit(report, offline=True)
    opened.page.keyboard.press("ArrowLeft")
    opened.page.get_by_role("button", name="한국어").click()
    assert opened.requests == [report]
    assert opened.complaints == []


def test_words_come_first(visit: Open, report: str, course: Course) -> None:
    opened = visit(report)
    finding = course.diagnosis.findings[0]
    tops = opened.page.evaluate(
        "() => ['h1', '.finding .sentence', '#map canvas', '#lines']"
        ".map(one => document.querySelector(one).getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)
    assert opened.page.inner_text(".finding .sentence") == str(finding.message)
    assert opened.page.locator(".findings > li").count() <= 3


def test_map_paints_levels_zero_and_nonfinite(visit: Open, pages: Callable[..., str]) -> None:
    levels = [[-10.0] * 4, [-1.01] * 4, [-math.inf] * 4, [math.inf] * 4, [math.nan] * 4]
    opened = visit(pages(small_course(levels)), color_scheme="light")
    rows = [opened.page.evaluate(ROW, (row + 0.3) / 5) for row in range(5)]
    assert rows[0][50] == DARKEST
    assert rows[1][50] == BRIGHTEST
    assert {tuple(one) for one in rows[2]} == {(0xD5, 0xDA, 0xDE), (0x8A, 0x95, 0x9F)}  # hatched: two greys
    assert [0, 0, 0] in rows[3]
    assert {tuple(one) for one in rows[4]} == {(0xEE, 0xF1, 0xF3)}
    crosses = [opened.page.evaluate(ROW, (3 + share) / 5) for share in (0.3, 0.4, 0.5, 0.6)]
    assert any([255, 255, 255] in row for row in crosses)


def test_a_spike_of_one_step_is_seen_at_any_width(visit: Open, pages: Callable[..., str]) -> None:
    levels = np.full((3, 2000), -5.0, np.float32)
    levels[1, 777] = -1.0
    levels[2] = np.linspace(-5, -1.1, 2000)
    for width in (1440, 360):
        opened = visit(pages(small_course(levels.tolist())), width=width)
        row = opened.page.evaluate(ROW, 0.5)
        bright = [place for place, colour in enumerate(row) if colour == BRIGHTEST]
        assert bright
        assert bright == list(range(bright[0], bright[0] + len(bright)))  # a step may lie across two pixels
        assert len(bright) <= 2
        assert bright[0] / len(row) == pytest.approx(777 / 2000, abs=0.01)


def test_map_of_sixty_by_two_thousand_is_redrawn_within_33_ms(visit: Open, large: str) -> None:
    opened = visit(large)
    times = []
    for _ in range(12):  # the quickest of some: the others measure what else the machine was doing
        opened.page.keyboard.press("2")
        times.append(float(opened.page.get_attribute("canvas[data-drawn-ms]", "data-drawn-ms")))
        opened.page.keyboard.press("1")
        times.append(float(opened.page.get_attribute("canvas[data-drawn-ms]", "data-drawn-ms")))
    assert min(times) <= 33 * shared_among()


def course_with_losses(x: list[int], y: list[float]) -> Course:
    """Ten measured steps, and whatever losses."""
    return replace(large_course(3, 10), lines=(Line("loss", np.array(x), np.array(y)),))


def test_losses_after_the_last_measured_step_are_shown(visit: Open, pages: Callable[..., str]) -> None:
    steps = list(range(300))
    opened = visit(pages(course_with_losses(steps, [2.0 - step / 300 for step in steps])), width=1280)
    page = opened.page
    box = page.locator("#lines .u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20)
    opened.until("Math.abs(document.querySelector('#lines .plot-key li').innerText.split(/\\s+/).at(-1) - 1.5) < 0.02")


def test_an_axis_of_many_decades_has_a_line_here_and_there(visit: Open, pages: Callable[..., str]) -> None:
    page = visit(pages(course_with_losses([1, 2, 3, 4], [2.3, 15.1, 2.3e5, 4.9e28])), width=1280).page
    painted = page.evaluate(
        """() => {
        const canvas = document.querySelector("#lines canvas");
        const [x, height] = [Math.round(0.8 * canvas.width), canvas.height - 40];
        const column = canvas.getContext("2d").getImageData(x, 10, 1, height).data;
        return Array.from({length: height}, (_, i) => column[4 * i + 3]).filter((alpha) => alpha > 0).length;
    }"""
    )
    assert 3 <= painted <= 16, "pixels of a column: with a line for each number from 1 to 9 of a decade most of them"


def test_keys_move_the_cursor_and_say_so(visit: Open, large: str) -> None:
    opened = visit(large + "#layer=blocks.4.1&step=100")
    page = opened.page
    assert opened.cursor().startswith("blocks.4.1 · step 100 ·")
    for key, direction in [(".", 1), ("ArrowLeft", -1), ("Shift+ArrowRight", 1), (",", -1)]:
        before = opened.step()
        page.keyboard.press(key)
        assert (opened.step() - before) * direction > 0, key
    page.focus("#map-grid")
    page.keyboard.press("ArrowDown")
    assert opened.cursor().startswith("blocks.5.0 ·")
    page.keyboard.press("Home")
    assert opened.step() == 0
    assert "blocks.5.0 · step 0 ·" in page.inner_text("#live-region")
    page.keyboard.press("2")
    assert page.get_attribute("button:has-text('Activation')", "aria-pressed") == "true"


def test_layer_is_found_by_slash(visit: Open, large: str) -> None:
    opened = visit(large)
    page = opened.page
    page.keyboard.press("/")
    page.keyboard.type("17.1")
    assert page.locator("#layer-list [role=option]").first.inner_text().startswith("blocks.17.1")
    page.keyboard.press("Enter")
    assert opened.cursor().startswith("blocks.17.1 ·")
    assert page.inner_text("#layer h2") == "Layer blocks.17.1"


def test_keys_are_letters_while_somebody_writes(visit: Open, large: str) -> None:
    opened = visit(large)
    before = opened.cursor()
    opened.page.keyboard.press("/")
    opened.page.keyboard.type("r.?2 ]")
    assert opened.page.input_value("#layer-search") == "r.?2 ]"
    assert not opened.page.locator("dialog[open]").count()
    assert opened.cursor() == before
    opened.page.keyboard.press("Escape")
    assert opened.page.input_value("#layer-search") == ""


def test_help_opens_and_closes_by_key(visit: Open, report: str) -> None:
    page = visit(report).page
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog:not([open])", state="attached")


def test_space_walks_through_the_steps_and_stops(visit: Open, large: str) -> None:
    opened = visit(large + "#step=0")
    opened.page.keyboard.press(" ")
    opened.until("document.querySelector('#cursor-line').innerText.match(/step ([1-9][0-9]+)/)")
    opened.page.keyboard.press(" ")
    opened.page.wait_for_selector("button[aria-pressed=false]:has-text('Play')")
    stopped = opened.step()
    opened.page.wait_for_timeout(300)
    assert opened.step() == stopped


def test_motion_is_in_jumps_where_it_is_not_wanted(visit: Open, large: str) -> None:
    opened = visit(large + "#step=0", reduced_motion="reduce")
    opened.page.keyboard.press(" ")
    opened.page.wait_for_timeout(350)
    assert opened.step() == 0
    assert opened.page.evaluate("document.getAnimations().length") == 0


def test_address_restores_the_view(visit: Open, large: str) -> None:
    opened = visit(large + "#layer=blocks.3.1&step=340&map=dead_fraction&steps=100-600")
    assert re.match(r"blocks\.3\.1 · step 3[34]\d · dead units: ", opened.cursor())
    opened.page.keyboard.press("]")
    opened.until("location.hash.includes('blocks.4.0')")
    again = visit(opened.page.url)
    assert again.cursor() == opened.cursor()
    assert again.page.inner_text(".step-axis") == opened.page.inner_text(".step-axis")
    assert "600" in again.page.inner_text(".step-axis")
    assert "1,000" not in again.page.inner_text(".step-axis")


def test_address_takes_a_layers_number_too(visit: Open, large: str) -> None:
    assert visit(large + "#layer=12&step=340").cursor().startswith("blocks.6.0 ·")


@pytest.mark.parametrize(
    "address", ["layer=nowhere&step=-1", "step=1e9&steps=9-3", "map=%3Cscript%3E&layer=%00", "&&=="]
)
def test_an_address_that_names_nothing_shows_the_run_all_the_same(visit: Open, large: str, address: str) -> None:
    opened = visit(f"{large}#{address}")
    assert opened.cursor().startswith("blocks.")
    assert opened.complaints == []


def test_language_is_one_click(visit: Open, report: str) -> None:
    page = visit(report).page
    page.get_by_role("button", name="한국어").click()
    assert page.get_attribute("html", "lang") == "ko"
    heads = page.locator("h1, h2, h3").all_inner_texts()
    assert heads
    assert all(re.search("[가-힣]", head) for head in heads)
    shown = page.inner_text("body")
    english = {
        text for id_, text in texts()["en"].items() if id_.startswith("view.") and " " in text and "{" not in text
    }
    assert not [text for text in english if text in shown]
    assert "정규화" not in shown or "규제" in shown
    page.get_by_role("button", name="EN").click()
    assert page.inner_text("#map h2") == "Flow map"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_no_id_of_a_text_is_left_on_the_page(visit: Open, report: str, language: str) -> None:
    page = visit(f"{report}#lang={language}").page
    page.keyboard.press("?")
    for button in page.locator(".card-head button[aria-pressed]").all():
        button.dispatch_event("click")
    everything = page.content().split('<script type="application/json"')[0]
    assert not re.findall(r"\bview\.[a-z_]+", everything)
    assert "undefined" not in page.inner_text("body")


def test_light_and_dark(visit: Open, report: str) -> None:
    page = visit(report, color_scheme="dark").page
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(13, 19, 26)"
    page.get_by_role("button", name="Auto").click()
    assert page.evaluate(ground) == "rgb(247, 248, 248)"


def test_numbers_behind_the_map_are_those_of_the_run(visit: Open, report: str, course: Course) -> None:
    page = visit(report).page
    page.locator("#map").get_by_role("button", name="Table").click()
    cells = page.locator("#map tbody tr").first.locator("td").all_inner_texts()
    heads = [int(head) for head in page.locator("#map thead th").all_inner_texts()[1:]]
    place = {int(step): column for column, step in enumerate(course.steps)}
    for head, cell in zip(heads, cells, strict=True):
        assert float(cell) == pytest.approx(10.0 ** course.levels["activation_grad_rms"][0, place[head]], rel=0.06)


def test_every_picture_has_a_sentence_and_numbers(visit: Open, report: str) -> None:
    page = visit(report).page
    pictures = page.locator("[role=img]")
    assert pictures.count() >= 5
    for picture in pictures.all():
        assert len(picture.get_attribute("aria-label")) > 30
    for card in ("map", "lines", "layer", "waterfall"):
        page.locator(f"#{card}").get_by_role("button", name="Table").click()
        assert page.locator(f"#{card} td").count() > 0


def test_a_click_pins_and_a_drag_zooms(visit: Open, large: str) -> None:
    opened = visit(large)
    box = opened.page.locator("#map-grid").bounding_box()

    def at(x: float, y: float) -> tuple[float, float]:
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    opened.page.mouse.click(*at(0.5, 0.5))
    assert opened.step() == pytest.approx(1000, abs=15)
    opened.page.mouse.move(*at(0.25, 0.5))
    opened.page.mouse.down()
    opened.page.mouse.move(*at(0.4, 0.5), steps=4)
    opened.page.mouse.up()
    opened.until("location.hash.includes('steps=')")
    low, high = map(int, re.search(r"steps=(\d+)-(\d+)", opened.page.url).groups())
    assert low == pytest.approx(500, abs=10)
    assert high == pytest.approx(800, abs=10)
    opened.page.keyboard.press("r")
    opened.until("!location.hash.includes('steps=')")


def test_finding_leads_to_its_layer(visit: Open, report: str, course: Course) -> None:
    opened = visit(report + "#layer=8&step=3")
    opened.page.locator(".finding .where").first.click()
    assert opened.cursor().startswith(f"{course.diagnosis.findings[0].sites[0]} ·")


def test_theory_stands_beside_the_profile(visit: Open, report: str) -> None:
    page = visit(report).page
    assert page.locator(".profile .theory").count() == 1
    assert page.locator(".theory-key").inner_text() == "theory"
    page.keyboard.press("2")
    assert page.locator(".profile .theory").count() == 0


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_nothing_runs_over_the_side(visit: Open, report: str, width: int, language: str) -> None:
    page = visit(f"{report}#lang={language}", width=width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#map canvas").bounding_box()["width"] >= 0.3 * width


@pytest.mark.parametrize("width", [390, 1280])
def test_names_of_layers_end_where_they_differ_and_not_where_room_does(
    visit: Open, pages: Callable[..., str], width: int
) -> None:
    course = large_course(6, 10)
    names = [f"model.transformer.h.{site.order}.mlp" for site in course.sites]
    page = visit(pages(replace(course, sites=tuple(map(renamed, course.sites, names)))), width=width).page
    labels = page.locator(".row-labels button")
    shown = labels.all_inner_texts()
    assert len(set(shown)) == len(shown) == 6
    assert page.evaluate(
        "[...document.querySelectorAll('.row-labels button')].every((b) => b.scrollWidth <= b.clientWidth)"
    )


def renamed(site: Site, name: str) -> Site:
    return replace(site, name=name)


def test_twice_the_size_fits_as_well(visit: Open, report: str) -> None:
    page = visit(report, width=720, device_scale_factor=2).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 720


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_no_serious_barrier(visit: Open, report: str, axe: str, scheme: str, language: str) -> None:
    page = visit(f"{report}#lang={language}", color_scheme=scheme).page
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        (one["id"], one["nodes"][0]["html"], one["nodes"][0]["failureSummary"])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert not serious
    assert len(found["passes"]) > 15


def test_prints_on_four_pages_at_most(visit: Open, large: str) -> None:
    page = visit(large, color_scheme="dark").page
    printed = page.pdf(prefer_css_page_size=True)
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 4


def test_hostile_names_are_shown_and_do_nothing(visit: Open, pages: Callable[..., str]) -> None:
    opened = visit(pages(hostile_course()))
    opened.page.keyboard.press("/")
    opened.page.keyboard.type("img")
    opened.page.wait_for_timeout(200)
    assert opened.complaints == []
    assert len(opened.requests) == 1
    assert opened.page.locator("#app img").count() == 0
    assert "<img src=x" in opened.page.inner_text("#layer h2")


def test_a_second_report_dropped_on_the_page_stands_beside_the_first(visit: Open, report: str) -> None:
    opened = visit(report)
    other = offline_page([large_course(8, 30, name="other")], "en")
    drop = """content => {
      const held = new DataTransfer();
      held.items.add(new File([content], "other.html", {type: "text/html"}));
      document.body.dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: held}));
    }"""
    opened.page.evaluate(drop, other)
    opened.until("document.querySelectorAll('canvas[data-drawn-ms]').length === 2")
    assert opened.page.inner_text("h1") == "sigmoid and other side by side"
    opened.page.evaluate(drop, "<p>nothing of ours")
    assert "This file holds no run" in opened.page.inner_text("[role=alert]")
    assert opened.complaints == []


def test_two_runs_share_their_cursor_and_keep_their_colours(visit: Open, pages: Callable[..., str]) -> None:
    opened = visit(pages(large_course(12, 200, name="a"), large_course(12, 300, name="b")))
    page = opened.page
    boxes = page.locator(".map-box")
    assert boxes.count() == 2
    box = boxes.nth(1).bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 5)
    lines = [line for line in page.inner_text("#cursor-line").splitlines() if line]
    assert len(lines) == 2
    assert all("blocks.0.0 · step 150 ·" in line for line in lines)
    colours = page.evaluate(
        "() => ['.run-name', '.eyebrow', '#cursor-line span']"
        ".map(one => [...document.querySelectorAll(one + ' .run-dot')].slice(0, 2)"
        ".map(dot => getComputedStyle(dot).backgroundColor).join())"
    )
    assert len(set(colours)) == 1
    assert len(set(colours[0].split("rgb")[1:])) == 2
