"""Pictures of lessons: nothing falls off them, and no two curves are told apart by colour alone."""

import re
from collections.abc import Callable

import pytest

from headwater.i18n import LANGUAGES
from headwater.records.picture import Axis, Curve, Picture
from headwater.report.charts.plot import plot
from headwater.report.charts.plot_key import plot_key
from headwater.report.charts.plot_marks import COLOURS, DASHES, MARKERS, Look, bar_edges, draw_curve
from headwater.report.charts.plot_scale import PlotScale, plot_range, tick_texts
from headwater.report.words import Words
from tests.report.lesson_samples import INF, NAN, PICTURES, curve, panel, picture, say
from tests.report.pages import Reader, assert_harmless, assert_pictures_stay_inside, pictures

WORDS = Words("en")


def drawn(case: str) -> str:
    return plot(PICTURES[case], WORDS, "p")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", PICTURES)
def test_picture_is_drawn_for_every_screen(case: str, language: str) -> None:
    content = plot(PICTURES[case], Words(language), "p")
    assert_pictures_stay_inside(content)
    wide, narrow = pictures(content)
    for image, name in ((wide, "wide"), (narrow, "narrow")):
        assert image.get("class") == name
        assert image.get("role") == "img"
        assert image.get("aria-label") == "Two curves at 0.25."
    assert not re.search(r"(?<![\w.])(nan|inf)(?![\w-])", content)
    assert_harmless(f"<style></style>{content}{plot_key(PICTURES[case], Words(language))}")


def test_exact_zeros_stand_hollow_in_a_hatched_lane_below() -> None:
    content = drawn("zeros")
    assert 'fill="url(#p-wide-zero)"' in content
    assert 'id="p-wide-zero"' in content
    (lane,) = re.findall(
        r'<rect x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="18" class="zero"', plot_only_wide(content)
    )
    (hollow,) = re.findall(r'<path d="M[\d.]+ ([\d.]+)m[^"]*" class="plot-zero', plot_only_wide(content))
    lowest = max(float(y) for y in re.findall(r"[\d.]+,([\d.]+)", " ".join(re.findall(r'points="([^"]*)"', content))))
    assert float(lane) > lowest
    assert float(lane) < float(hollow) < float(lane) + 18
    assert "exactly zero" in plot_key(PICTURES["zeros"], WORDS)
    assert "NaN or Inf" not in plot_key(PICTURES["zeros"], WORDS)


def plot_only_wide(content: str) -> str:
    return content[: content.index("</svg>")]


def test_zero_on_a_linear_axis_is_a_number_like_others() -> None:
    content = plot(picture(panel(curve((0.0, 1.0)))), WORDS, "p")
    assert "plot-zero" not in content
    assert "hatch" not in content


@pytest.mark.parametrize("value", [NAN, INF, 1e300])
def test_what_has_no_place_has_a_cross_above_and_breaks_the_line(value: float) -> None:
    content = plot_only_wide(plot(picture(panel(curve((1.0, 2.0, value, 2.0, 1.0)))), WORDS, "p"))
    assert content.count('class="broken"') == 1
    assert content.count('class="broken-cross"') == 1
    assert content.count("<polyline") == 2
    (cross,) = re.findall(r'<path d="M[\d.]+ ([\d.]+)L[^"]*" class="broken-cross"', content)
    assert float(cross) < min(
        float(y) for y in re.findall(r",([\d.]+)", " ".join(re.findall(r'points="([^"]*)"', content)))
    )


def test_hole_of_a_reference_is_no_news() -> None:
    known = Curve(say("theory"), (0.0, 1.0, 2.0), (1.0, NAN, 2.0), is_reference=True)
    assert "broken" not in plot(picture(panel(known)), WORDS, "p")


def test_reference_is_grey_and_dashed_and_lies_behind() -> None:
    content = plot_only_wide(drawn("reference"))
    assert content.index('class="plot-line reference dash-1"') < content.index('class="plot-line tone-0')
    assert content.count("<path") == 1, "markers are for measurements"


def test_no_two_looks_are_alike_without_colour() -> None:
    looks = [Look(number) for number in range(DASHES * len(MARKERS))]
    assert len({(look.marker, look.style.split()[1]) for look in looks}) == len(looks)
    assert len({look.style.split()[0] for look in looks}) == COLOURS


def test_same_curve_looks_the_same_in_every_panel() -> None:
    shared = picture(panel(curve((1.0, 2.0), 7), curve((2.0, 1.0), 9)), panel(curve((3.0, 1.0), 9), number=2))
    assert Reader(f"<style></style>{plot_key(shared, WORDS)}").text.count("depth 9") == 1
    content = plot_only_wide(plot(shared, WORDS, "p"))
    assert len(re.findall('class="plot-line tone-1 dash-1"', content)) == 2


def test_too_many_curves_for_one_key_have_one_per_panel() -> None:
    key = plot_key(PICTURES["many_looks"], WORDS)
    assert key.count('<ul class="key">') == 3
    assert all(f"panel {number}" in key for number in (1, 2, 3))


def test_line_of_many_points_is_thinned_and_keeps_its_spike() -> None:
    values = [0.0] * 4000
    values[1234] = 9.0
    content = plot_only_wide(plot(picture(panel(curve(tuple(values)))), WORDS, "p"))
    (points,) = re.findall(r'points="([^"]*)"', content)
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert len(heights) < 400
    assert max(heights) - min(heights) > 100


def test_line_is_cut_where_its_axis_ends() -> None:
    x, y = PlotScale(0, 3, 0, 300), PlotScale(-1, 2, 300, 0)
    content = draw_curve(PICTURES["clipped"].panels[0].curves[0], Look(0), x, y)
    (points,) = re.findall(r'points="([^"]*)"', content)
    assert points.split() == ["80,300", "100,200", "140,0"]


def test_raster_is_shown_whole_also_where_its_points_end_at_zero() -> None:
    content = plot_only_wide(drawn("raster"))
    assert ">-2</text>" in content


def test_layers_are_counted_in_whole_numbers() -> None:
    content = plot_only_wide(drawn("lines"))
    assert re.findall(r'text-anchor="middle" class="tick">([^<]*)<', content) == ["0", "1", "2"]


def test_bars_touch() -> None:
    edges = bar_edges((0.0, 1.0, 3.0))
    assert edges == [(-0.5, 0.5), (0.5, 2.0), (2.0, 4.0)]
    assert bar_edges((5.0,)) == [(4.5, 5.5)]


def test_bars_stand_on_zero() -> None:
    content = plot_only_wide(plot(picture(panel(curve((3.0, 4.0), style="bars"))), WORDS, "p"))
    assert re.search(r'class="tick"[^>]*>0(\.0)?<', content)


def test_raster_has_its_colours_explained_and_its_holes_black() -> None:
    content = plot_only_wide(drawn("raster"))
    assert "#440154" in content
    assert "#fde725" in content
    assert ">24</text>" in content
    assert ">loss</text>" in content
    assert len(re.findall(r'<path d="[^"]*" class="broken"', content)) == 1
    assert "NaN or Inf" in plot_key(PICTURES["raster"], WORDS)


@pytest.mark.parametrize(
    ("places", "texts"),
    [
        ([0.0, 0.25, 0.5], ["0.00", "0.25", "0.50"]),
        ([2.301, 2.302], ["2.301", "2.302"]),
        ([0.0, 500.0, 1000.0], ["0", "500", "1,000"]),
        ([1e-9, 2e-9], ["1.0e-9", "2.0e-9"]),
        ([-1.0, 0.0, 1.0], ["-1", "0", "1"]),
        ([0.0], ["0"]),
    ],
)
def test_ticks_can_be_told_apart(places: list[float], texts: list[str]) -> None:
    assert tick_texts(places) == texts


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (-30.0, 0.0, [-30, -20, -10, 0]),
        (-2.0, 1.0, [-2, -1, 0, 1]),
    ],
)
def test_log_axis_counts_decades(low: float, high: float, shown: list[int]) -> None:
    assert [tick.exponent for tick in PlotScale(low, high, 0, 100, is_log=True).ticks(4)] == shown


def test_short_log_axis_is_written_in_numbers() -> None:
    ticks = PlotScale(-0.2, 0.8, 0, 100, is_log=True).ticks(5)
    assert [tick.text for tick in ticks] == ["1", "2", "5"]
    near_one = PlotScale(-0.01, 0.01, 0, 100, is_log=True).ticks(4)
    assert len({tick.text for tick in near_one}) == len(near_one) >= 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [((), (0.0, 1.0)), ((NAN, INF), (0.0, 1.0)), ((2.0, 2.0), (1.0, 3.0)), ((0.0, 10.0), (-1.0, 11.0))],
)
def test_range_is_never_empty(values: tuple[float, ...], expected: tuple[float, float]) -> None:
    assert plot_range(Axis(say("y")), values, 0.1) == expected


def test_axis_that_says_where_it_ends_ends_there() -> None:
    assert plot_range(Axis(say("y"), low=0.0, high=1.1), (-5.0, 5.0), 0.1) == (0.0, 1.1)


@pytest.mark.parametrize("make", [lambda: Picture(say("summary", value=1.0), ())])
def test_picture_without_panels_is_empty(make: Callable[[], Picture]) -> None:
    assert len(pictures(plot(make(), WORDS, "p"))) == 2
    assert plot_key(make(), WORDS) == ""
