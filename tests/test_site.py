"""The site that is built of the pages: no link is broken, nothing is fetched, it fits a telephone."""

import html.parser
import os
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import pytest

from .browser import Browser, needs_browser
from .extras import needs
from .pages import ROOT


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
