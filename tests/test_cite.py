"""Citations: complete, parseable, and exactly of what was used."""

import importlib
import inspect
import pkgutil
import re
import textwrap
from dataclasses import dataclass, field

import pytest
import torch

import nongreedy as ng
from nongreedy.optimizers import PlainOptimizer
from nongreedy.search.rules import OuterRule

from .helpers import tiny_task


def docstrings():
    """Of every class in every module of the library but those of extras."""
    for module in pkgutil.walk_packages(ng.__path__, "nongreedy."):
        if not module.name.startswith(("nongreedy.integrations.", "nongreedy.__main__")):
            for kind in vars(importlib.import_module(module.name)).values():
                if inspect.isclass(kind) and kind.__module__.startswith("nongreedy"):
                    yield inspect.cleandoc(kind.__doc__ or "")


DOCSTRINGS = list(dict.fromkeys(docstrings()))
BLOCK = r"\.\. code-block:: bibtex\n(?: +:caption: .*\n)?\n((?: .*\n)+)"
ENTRIES = [textwrap.dedent(e).strip() for d in DOCSTRINGS for e in re.findall(BLOCK, d + "\n")]
ENTRIES = list(dict.fromkeys(ENTRIES))


def keys(text):
    return re.findall(r"^@\w+\{([\w]+),$", text, flags=re.MULTILINE)


def fields(text):
    """Name -> value, where every value is within balanced braces."""
    found, body = {}, text[text.index(",") + 1 : text.rindex("}")]
    while match := re.search(r"\s*(\w+)\s*=\s*\{", body):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(body[end], 0)
            end += 1
        found[match[1]], body = " ".join(body[match.end() : end - 1].split()), body[end:]
    assert body.strip(" ,\n") == "", body
    return found


def public(*bases):
    return [
        value
        for value in (getattr(ng, name) for name in ng.__all__)
        if inspect.isclass(value) and issubclass(value, bases) and not inspect.isabstract(value)
    ]


@pytest.mark.parametrize("text", ENTRIES, ids=lambda text: keys(text)[0])
def test_an_entry_parses_and_is_complete(text):
    assert text.count("{") == text.count("}") and text.isascii()
    found = fields(text)
    assert {"author", "title", "year"} <= found.keys()
    assert all(", " in author for author in found["author"].split(" and "))
    assert re.fullmatch(r"(19|20)\d\d", found["year"])
    kind = re.match(r"@(\w+)", text)[1]
    needed = {"inproceedings": "booktitle", "article": "journal"}.get(kind)
    assert needed in found or (kind == "misc" and found.keys() & {"eprint", "url", "howpublished"})
    assert ("eprint" in found) == (found.get("archivePrefix") == "arXiv")
    # The year of a paper is not before that of its preprint.
    assert "eprint" not in found or int("20" + found["eprint"][:2]) <= int(found["year"])


def test_keys_are_unique():
    found = [keys(text)[0] for text in ENTRIES]
    assert len(set(found)) == len(found) == 30
    authors = {
        key: fields(t)["author"].split(",")[0] for key, t in zip(found, ENTRIES, strict=True)
    }
    assert all(key.startswith(name.lower()) for key, name in authors.items())


@pytest.mark.parametrize("average", [ng.TailAverage(), ng.ExponentialAverage()], ids=repr)
def test_an_average_is_cited_with_the_optimizer_that_has_it(average):
    optimizer = ng.Grouped(ng.SGD(0.1, average=average), {"vectors": {"weight_decay": 0.0}})
    for thing in (optimizer, optimizer.to_json()):
        assert {"robbins1951stochastic", "polyak1992acceleration"} <= set(keys(ng.cite(thing)))
    assert "polyak1992acceleration" not in keys(ng.cite(ng.SGD(0.1)))


AROUND = ng.Grouped, ng.Scaled  # which cite what they go around


@pytest.mark.parametrize("kind", public(ng.Engine, ng.Optimizer, OuterRule, PlainOptimizer))
def test_every_public_method_has_an_entry(kind):
    wraps = [torch.zeros(1)] if issubclass(kind, PlainOptimizer) else ng.Adam()
    made = kind(wraps) if issubclass(kind, (PlainOptimizer, *AROUND)) else kind()
    for thing in (made,) if kind in AROUND else (kind, made):
        assert keys(ng.cite(thing))


def test_groups_cite_the_optimizer_that_they_divide():
    grouped = ng.Grouped(ng.Adam(0.1), {"vectors": {"weight_decay": 0.0}})
    assert ng.cite(grouped) == ng.cite(ng.Adam())
    result = ng.tune(
        tiny_task(), ng.Grouped(ng.Adam(), {"vectors": {"beta1": 0.5}}), steps=9, outer_steps=1
    )
    assert ng.cite(ng.Adam()).strip() in ng.cite(result)


@pytest.mark.parametrize("kind", public(ng.Engine, ng.Optimizer))
def test_the_sources_of_a_docstring_are_cited(kind):
    by_setting = {
        ng.Greedy: [ng.Greedy(mu=mu) for mu in (0, 0.5, 1)],
        ng.Implicit: [ng.Implicit(solver) for solver in ("neumann", "cg", "nystrom")],
        ng.Grouped: [ng.Grouped(ng.Adam(), {"vectors": {"weight_decay": 0.0}})],
        ng.Scaled: [ng.Scaled(ng.Adam(), {"vectors": {"learning_rate": 0.5}})],
    }
    text = ng.cite(*by_setting.get(kind, [kind]))
    source = re.search(r"Source:(.*?)\n\n", kind.__doc__, flags=re.DOTALL)[1]
    for number in re.findall(r"arXiv:(\d{4}\.\d{5})", source):
        assert number in text or kind is ng.SGD, number  # whose source is the method of learning it


@pytest.mark.parametrize(
    ("things", "expected"),
    [
        ((), ["micaelli2021gradient"]),
        ((ng.Reverse(),), ["micaelli2021gradient", "franceschi2017forward"]),
        (
            (ng.Reverse("checkpoint"),),
            ["micaelli2021gradient", "franceschi2017forward", "engstrom2025optimizing"],
        ),
        ((ng.RandomDirections(),), ["shen2024memory", "baydin2022gradients"]),
        ((ng.Greedy(),), ["baydin2018online"]),
        ((ng.Greedy(mu=0.9),), ["donini2019marthe"]),
        ((ng.Greedy(mu=1.0),), ["franceschi2017forward"]),
        ((ng.SGD(),), ["robbins1951stochastic"]),
        (
            (ng.SGD(momentum=ng.Windows(2), nesterov=True, clip_norm=1.0),),
            ["robbins1951stochastic", "polyak1964some", "sutskever2013importance",
             "pascanu2013difficulty"],
        ),
        ((ng.RMSprop(momentum=0.9),), ["tieleman2012lecture", "polyak1964some"]),
        ((ng.Muon(), ng.AdamW()), ["jordan2024muon", "loshchilov2019decoupled"]),
        ((ng.SignDescent(), ng.Forward()), ["micaelli2021gradient", "franceschi2017forward"]),
    ],
    ids=str,
)  # fmt: skip
def test_exactly_what_is_used(things, expected):
    assert keys(ng.cite(*things)) == expected


def test_a_result_cites_its_engine_its_rule_and_its_optimizer():
    optimizer = ng.SGD(ng.Windows(2, initial=0.1), momentum=0.5, clip_norm=1.0)
    result = ng.tune(
        tiny_task(), optimizer, steps=4, outer_steps=1,
        engine=ng.Reverse("checkpoint"), outer=ng.SignDescent(),
    )  # fmt: skip
    parts = optimizer, ng.Reverse("checkpoint"), ng.SignDescent()
    assert set(keys(ng.cite(result))) == set(keys(ng.cite(*parts)))
    online = ng.train_online(tiny_task(), ng.SGD(), steps=3, engine=ng.Greedy(mu=0.5))
    assert keys(ng.cite(online)) == ["donini2019marthe", "robbins1951stochastic"]


@pytest.mark.parametrize(
    ("thing", "shown"),
    [
        (torch.optim.Adam, "torch.optim.adam.Adam"),
        (3, "int"),
        ("Adma", "str"),
        (ng.Windows(2), "Windows"),
    ],
)
def test_what_cannot_be_cited_is_refused_with_what_can(thing, shown):
    with pytest.raises(ValueError, match=re.escape(shown)) as caught:
        ng.cite(thing)
    citable = [*public(ng.Engine, ng.Optimizer, OuterRule, PlainOptimizer), ng.Trust]
    assert all(kind.__name__ in str(caught.value) for kind in citable)


def test_every_key_in_a_docstring_has_its_entry():
    named = {key for text in DOCSTRINGS for key in re.findall(":cite:`(.*?)`", text)}
    assert named and named <= {keys(text)[0] for text in ENTRIES}


@pytest.mark.parametrize(
    ("described", "same"),
    [
        ({"class": "Reverse", "store": {"class": "Checkpoints"}}, ng.Reverse("checkpoint")),
        ({"class": "Greedy", "mu": 0.5}, ng.Greedy(mu=0.5)),
        ({"class": "Greedy"}, ng.Greedy()),
        ({"class": "Implicit", "solver": {"class": "Nystrom", "rank": 3}}, ng.Implicit("nystrom")),
        (
            {"class": "Grouped", "base": {"class": "SGD", "momentum": {"class": "Windows"}}},
            ng.Grouped(ng.SGD(momentum=ng.Windows(1)), {"vectors": {"weight_decay": 0.0}}),
        ),
    ],
    ids=str,
)
def test_json_of_an_object_cites_what_the_object_does(described, same):
    assert ng.cite(described) == ng.cite(same)


@dataclass(frozen=True)
class Mine(ng.Engine):
    """A stranger's engine around another.

    .. code-block:: bibtex
        :caption: if careful

        @misc{stranger2030mine,
          author = {Stranger, A.},
          title = {Mine},
          year = {2030},
          note = {of no use}
        }

    On the basis of :cite:`maclaurin2015gradient`.
    """

    inner: ng.Engine = field(default_factory=ng.Greedy)
    careful: bool = True


class Unknown:
    """Cites :cite:`nobody1900nothing`."""


@pytest.mark.parametrize("thing", [Mine, {"class": "Mine"}, {"class": f"{__name__}.Mine"}], ids=str)
def test_a_class_of_ones_own_is_cited_with_what_it_holds(thing):
    inner = ["maclaurin2015gradient", "baydin2018online"]
    assert keys(ng.cite(thing)) == ["stranger2030mine", *inner]
    if isinstance(thing, dict):
        assert keys(ng.cite({**thing, "careful": False})) == inner


def test_a_key_without_an_entry_is_refused():
    with pytest.raises(ValueError, match="Unknown cites 'nobody1900nothing', and no docstring has"):
        ng.cite(Unknown())


def test_what_is_written_down_under_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="Nothing is known to cite for 'Elsewhere'"):
        ng.cite({"class": "Elsewhere"})
