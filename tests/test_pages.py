"""Every block of code on every page runs, or says why not; every link leads somewhere.

The site that is built of them is for `test_site.py`.
"""

import re
import shlex
import warnings

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from nongreedy.cli import app

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
COMMANDS = sorted(
    {(str(block), line, block.reason is None) for block in BLOCKS if block.language == "bash"
     for line in block.text.splitlines() if re.match(r"(\.venv/bin/)?nongreedy ", line)}
    | {(page, line, False) for page in PAGES
       for line in re.findall(r"`(nongreedy [a-z][^`\n]*)`", (ROOT / page).read_text("utf-8"))}
)  # fmt: skip


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
    monkeypatch.chdir(tmp_path)
    if page in GIVEN:
        cut_short(monkeypatch)
    assert vars(execute(page, GIVEN.get(page, "")))


@pytest.mark.parametrize(("place", "line", "run"), COMMANDS)
def test_a_command_has_the_options_that_a_page_gives_it(place, line, run):
    words = shlex.split(line, comments=True)[1:]
    command = get_command(app)
    with command.make_context("nongreedy", [*words], resilient_parsing=True) as context:
        _, found, rest = command.resolve_command(context, words)
        options = {
            text for option in found.params for text in [*option.opts, *option.secondary_opts]
        }
    assert [word for word in rest if word.startswith("--") and word not in options] == []
    if run:
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
