"""What things are called is no code on any page: classes, files, tasks, studies, items, policies.

Reports have their case in test_report.py and comparisons theirs in test_comparison.py: both can be read from
a stranger's database.
"""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch

import nongreedy as ng
from nongreedy import bandits, nas
from nongreedy.bandits import _page as bandit_page
from nongreedy.bandits._study import race
from nongreedy.nas import _page as nas_page
from nongreedy.nas._found import Found
from nongreedy.nas._rivals import Rival, random_at
from nongreedy.preference import Dialogue, Items, larger, smaller
from nongreedy.preference._page import page as preference_page
from nongreedy.reports._document import document, places
from nongreedy.schedules._drawing._chart import Axis, Chart

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=\"alert('2')\"><!--"
SCRIPTS = 4  # ours: what watches, the data, Plotly, what draws


def _bandits():
    make = lambda seed: bandits.QuadraticBandit.planted(4, [1.0], seed)  # noqa: E731
    courses = race(make, {HOSTILE: bandits.Uniform()}, 200, [0, 1])
    return bandit_page.page(courses, {"rounds": 200, HOSTILE: HOSTILE}, HOSTILE)


def _preference():
    table = [[0.1, 1.0], [0.2, 3.0], [0.4, 9.0]]
    attributes = [smaller(HOSTILE, unit=HOSTILE), larger(f"{HOSTILE} 2")]
    dialogue = Dialogue(Items.of(table, attributes, [f"{k} {HOSTILE}" for k in range(3)]))
    dialogue.ask()
    dialogue.tell(0)
    return preference_page(dialogue, replace(dialogue.recommend(), reason=HOSTILE))


def _nas():
    space = nas.Space((nas.LayerOptions((3, 5), (1,)),) * 4)
    table = nas.CostTable(space, ((1.0, 2.0),) * 4, unit=HOSTILE)
    chosen = random_at(table, 6.0, 6.0, seed=0)
    assert chosen is not None
    rows = [Rival(chosen, kind, 6.0, 0.5, 0.6) for kind in ("found", "uniform", HOSTILE)]
    found = Found(
        chosen, torch.nn.Linear(2, 2), table, 6.0, 6.0, None, 1.0, 0.5, 10.0, 10.0,
        [(0, 6.0, 6.0, 1.0)], (), {}, {},
    )  # fmt: skip
    return nas_page.page(found, rows, {"data": HOSTILE, HOSTILE: [HOSTILE, {"a": HOSTILE}]})


def _charts():
    chart = Chart(HOSTILE, HOSTILE, HOSTILE, Axis(HOSTILE), Axis(HOSTILE), [])
    return document(HOSTILE, [places([chart])], [chart], HOSTILE)


class Read(HTMLParser):
    """The elements of a page as a browser reads them, and its text outside scripts."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words, self.comments = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += "" if self.elements and self.elements[-1][0] == "script" else data

    def handle_comment(self, data):
        self.comments.append(data)


@pytest.mark.parametrize("made", [_bandits, _preference, _nas, _charts])
def test_names_cannot_become_code(made):
    page = made()
    read = Read(page)
    tags = [tag for tag, _ in read.elements]
    assert tags.count("script") == SCRIPTS and "img" not in tags and not read.comments
    assert not [name for _, attributes in read.elements for name in attributes if name[:2] == "on"]
    assert HOSTILE in read.words  # shown as it is called
    figures = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)
    assert figures and json.loads(figures[1])["figures"]


def test_a_page_may_load_nothing():
    page = _charts()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy and policy[1].startswith("default-src 'none'")
    given = [attributes for _, attributes in Read(page).elements]
    assert not [each for each in given if {"src", "href", "action", "srcset"} & each.keys()]


def test_a_study_may_be_called_anything(tmp_path, monkeypatch):
    """Its name leads to no file elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("../../outside", "/outside", "a/b", "..", HOSTILE):
        study = ng.Study("in/study.db", name)
        assert study.address.states(name).resolve().is_relative_to(tmp_path.resolve() / "in")
