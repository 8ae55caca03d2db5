"""Every block of code on every page runs, or says why not; every link leads somewhere."""

import html.parser
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.parse
import warnings
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from nongreedy.cli import app

from .browser import Browser, needs_browser
from .extras import needs
from .pages import GIVEN, PAGES, ROOT, blocks, cut_short, execute

EXTRAS = {
    "docs/how-to/hugging-face.md": ["transformers"],
    "docs/integrations.md": ["lightning", "transformers", "accelerate", "tensorboard", "wandb"],
}
BLOCKS = [block for page in PAGES for block in blocks(page)]
OF_PYTHON = [
    page
    for page in PAGES
    if any(block.language == "python" and block.reason is None for block in blocks(page))
]
COMMANDS = [
    pytest.param(block, line, id=f"{block}: {line}")
    for block in BLOCKS
    if block.language == "bash"
    for line in block.text.splitlines()
    if re.match(r"(\.venv/bin/)?nongreedy ", line)
]


def test_every_fence_is_a_block_of_a_known_language():
    for page in PAGES:
        fences = re.findall(r"^ *```", (ROOT / page).read_text("utf-8"), re.M)
        assert len(fences) == 2 * len(list(blocks(page))), page
    assert {block.language for block in BLOCKS} == {"python", "bash", "text"}
    reasons = [block.reason for block in BLOCKS if block.reason is not None]
    assert len(BLOCKS) > 60 and all(len(reason) > 10 for reason in reasons)


@pytest.mark.parametrize("page", OF_PYTHON)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    if page in EXTRAS:
        needs(*EXTRAS[page])
        warnings.simplefilter("ignore")  # of the packages' own; the page's other tests are strict
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.chdir(tmp_path)
    if page in GIVEN:
        cut_short(monkeypatch)
    assert vars(execute(page, GIVEN.get(page, "")))


@pytest.mark.parametrize(("block", "line"), COMMANDS)
def test_a_command_has_the_options_that_a_page_gives_it(block, line):
    words = shlex.split(line, comments=True)[1:]
    command = get_command(app)
    with command.make_context("nongreedy", [*words], resilient_parsing=True) as context:
        name, found, rest = command.resolve_command(context, words)
        assert found is not None, name
        options = {
            text for option in found.params for text in [*option.opts, *option.secondary_opts]
        }
    assert [word for word in rest if word.startswith("--") and word not in options] == []
    if block.reason is None:
        assert CliRunner().invoke(app, words).exit_code == 0


def test_first_steps_as_written(tmp_path, monkeypatch):
    """A stranger's images and model, the page's file, the page's commands with a shorter search."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label in range(10):
        folder = tmp_path / "photos" / str(label)
        folder.mkdir(parents=True)
        for number, image in enumerate(digits.images[digits.target == label][:30]):
            Image.fromarray((image * 15.9).astype("uint8")).save(folder / f"{number}.png")
    page = list(blocks("docs/first-steps.md"))
    (tmp_path / "my_task.py").write_text(next(b.text for b in page if b.language == "python"))
    monkeypatch.chdir(tmp_path)
    commands = [
        line for line in page[0].text.splitlines() if line.startswith(".venv/bin/nongreedy")
    ]
    assert len(page[0].text.splitlines()) <= 6 and len(commands) == 2
    for line, shorter in zip(
        commands, ([], ["--epochs", "2", "--budget", "4", "--no-compare"]), strict=True
    ):
        done = CliRunner().invoke(app, [*shlex.split(line)[1:], *shorter])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "runs" / "first" / "schedule.json").is_file()


# ---- links --------------------------------------------------------------------------------------


def anchors(text):
    """Of the headings of a page, as Markdown's and GitHub's readers spell them."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", title) for title in titles]
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_of_markdown_lead_somewhere(page):
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", (ROOT / page).read_text("utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith(("https://", "http://")):
            continue
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text("utf-8")), target


class Links(html.parser.HTMLParser):
    """The identifiers of a page, and what it loads and leads to."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loaded = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        self.ids |= {said[name] for name in ("id", "name") if said.get(name)}
        if tag == "a" and said.get("href"):
            self.links.append(said["href"])
        elif tag in ("script", "img", "link") and said.get("rel") not in (
            "canonical",
            "prev",
            "next",
        ):
            self.loaded += [said[name] for name in ("src", "href") if said.get(name)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: any warning is an error."""
    needs("material", "mkdocstrings", "latex2mathml")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_links_of_the_site_lead_somewhere_and_nothing_is_fetched(site):
    pages = {path: Links(path.read_text("utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 60
    for path, page in pages.items():
        for link in {*page.links, *page.loaded}:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme:
                assert link not in page.loaded, (path, link)
                continue
            file = Path(os.path.normpath(path.parent / urllib.parse.unquote(parts.path)))
            file = path if not parts.path else file / "index.html" if file.is_dir() else file
            assert path.name == "404.html" or file.is_file(), (path, link)
            if parts.fragment and file in pages:
                assert urllib.parse.unquote(parts.fragment) in pages[file].ids, (path, link)


@needs_browser
def test_the_site_is_readable_offline_at_both_widths(site, tmp_path):
    browser, asked = Browser(tmp_path), set()
    try:
        for page in ("index", "tutorials/images", "reference/task", "measurements/peers"):
            for width in (1280, 390):
                path = site / f"{page}.html"
                browser.open(path, width, ready="document.readyState === 'complete'")
                assert browser.run("document.documentElement.scrollWidth") <= width, page
                assert not browser.complaints
                asked |= {urllib.parse.urlsplit(each).scheme for each in browser.requested}
        browser.open(site / "index.html", 1280, ready="document.readyState === 'complete'")
        found = "document.querySelectorAll('.md-search-result__item').length"
        browser.run("document.querySelector('.md-search__input').focus()")
        browser.call("Input.insertText", text="hypergradient")
        deadline = time.monotonic() + 20
        while not browser.run(found):
            assert time.monotonic() < deadline, "the search finds nothing"
            time.sleep(0.1)
        assert asked <= {"file", "data", "blob"}
    finally:
        browser.close()
