"""Pages in a real browser: every figure is drawn, nothing is fetched, nothing runs over the edge."""

import itertools

import pytest

import nongreedy as ng
from nongreedy.comparison import METHODS
from nongreedy.reports import report

from .browser import Browser, needs_browser
from .study_runs import OPTIMIZER, STEPS, search, small_task
from .test_report import HOSTILE, figures, judge, rejected, unfinished

pytestmark = needs_browser

WIDTHS = [1280, 390]
STUDIES = {
    "finished": lambda path: search(ng.Study(path), budget=None),
    "unfinished": lambda path: unfinished(ng.Study(path)),
    "diverged": lambda path: rejected(ng.Study(path, HOSTILE)),
}
COMPARED = ["default", "random", "hypergradient-descent", "cosine", "random-paper-ranges"]


def study_page(folder, name):
    """The page of one of these studies."""
    STUDIES[name](folder / f"{name}.db")
    study = ng.Study(folder / f"{name}.db", HOSTILE if name == "diverged" else "nongreedy")
    if name == "finished":
        judge(study)
    return report(study, folder / name)


def comparison_page(folder, name):
    """The page of a small comparison, with a method of one's own."""
    settings = {"steps": STEPS, "budget": 8, "seeds": 2, "retrain_seeds": 2, "curve_seeds": 1}
    methods = {**{name: METHODS[name] for name in COMPARED}, HOSTILE: METHODS["constant"]}
    return ng.compare(small_task(), OPTIMIZER, methods=methods, **settings).save(folder / name)[2]


# Name -> (what makes the page, how many figures it has at least).
PAGES = {**{name: (study_page, 6) for name in STUDIES}, "comparison": (comparison_page, 2)}

# What is in the page of each figure: drawn traces, their outlines, titles, and how far these reach.
DRAWN = """
[...document.querySelectorAll(".plot")].map((box) => {
  const inside = (element) => {
    const a = element.getBoundingClientRect(), b = box.getBoundingClientRect();
    return a.left >= b.left - 1 && a.right <= b.right + 1 && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  };
  const titles = [...box.querySelectorAll(".xtitle, .ytitle")];
  const traces = [...box.querySelectorAll(".scatterlayer .trace, .barlayer .trace")];
  return {
    key: box.id,
    traces: traces.length,
    shapes: traces.map((t) => [...t.querySelectorAll("path")].map((p) => p.getAttribute("d") || "")),
    titles: titles.map((title) => title.textContent),
    inside: [...titles, ...box.querySelectorAll(".legend")].every(inside),
    width: box.querySelector(".main-svg")?.getBoundingClientRect().width,
    room: box.clientWidth,
    caption: box.parentElement.querySelector("figcaption").textContent,
  };
})
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Name -> page; each made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("pages"), {}

    def of(name):
        if name not in made:
            made[name] = PAGES[name][0](folder, name)
        return made[name]

    return of


def visible(figure):
    """How many traces of a figure are to be seen; edges of bands are, too."""
    return sum(trace.get("visible", True) for trace in figure["data"])


@pytest.mark.parametrize(
    ("name", "width"), list(itertools.product(PAGES, WIDTHS)), ids=lambda value: str(value)
)
def test_every_figure_is_drawn_and_fits(browser, pages, name, width):
    path = pages(name)
    browser.open(path, width)
    assert browser.run("document.documentElement.dataset.errors") == ""
    assert browser.complaints == []
    assert browser.requested == [path.as_uri()]
    assert browser.run("window.innerWidth") == width
    assert browser.run("document.documentElement.scrollWidth") <= width
    asked = figures(path.read_text("utf-8"))["figures"]
    drawn = {figure["key"]: figure for figure in browser.run(DRAWN)}
    assert drawn.keys() == asked.keys()
    assert len(drawn) >= PAGES[name][1]
    for key, figure in drawn.items():
        assert figure["traces"] == visible(asked[key]) > 0, key
        outlines = [d for shapes in figure["shapes"] for d in shapes if d]
        assert outlines and not any("NaN" in d for d in outlines), key
        assert len(figure["titles"]) == 2 and all(figure["titles"]), key
        assert figure["inside"], (key, figure["titles"])
        assert figure["width"] == pytest.approx(figure["room"], abs=2), key
        assert len(figure["caption"]) > 40, key
    assert browser.run("window.alerted || null") is None


def test_the_chosen_outer_step_is_shown(browser, pages):
    browser.open(pages("finished"), 1280)
    lines = '[...document.querySelectorAll("#hypergradient-0 .scatterlayer path.js-line")]'
    outline = f'{lines}.map((p) => p.getAttribute("d")).join()'
    last = browser.run(outline)
    choose = """
        (async () => {
          const select = document.querySelector("select");
          select.selectedIndex = 0;
          select.dispatchEvent(new Event("change"));
          await new Promise((done) => setTimeout(done, 300));
        })()
    """
    browser.run(choose)
    first = browser.run(outline)
    assert first and first != last
    assert browser.run("document.documentElement.dataset.errors") == ""


def test_colours_follow_the_scheme(browser, pages):
    stroke = 'getComputedStyle(document.querySelector("#losses .scatterlayer path.js-line")).stroke'
    paper = "getComputedStyle(document.body).backgroundColor"
    found = []
    for dark in (False, True):
        browser.open(pages("finished"), 1280, dark=dark)
        found.append((browser.run(stroke), browser.run(paper)))
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]


def test_it_prints(browser, pages):
    browser.open(pages("finished"), 1280, dark=True)
    assert browser.printed().startswith(b"%PDF")
    assert browser.run("document.documentElement.dataset.errors") == ""


def test_what_goes_wrong_is_written_into_the_page(browser, pages, tmp_path):
    broken = tmp_path / "broken.html"
    text = pages("finished").read_text("utf-8")
    broken.write_text(text.replace('"figures": {', '"figures": {,', 1), "utf-8")
    with pytest.raises(AssertionError, match="SyntaxError"):
        browser.open(broken, 1280)
    assert "could not be drawn" in browser.run('document.getElementById("trouble").textContent')
