"""Pages of the site that no one writes twice: those beside the README, the reference, sources.

Links that leave `docs/` are right in a clone and on a page of the repository. On the site they lead to
pages that are made here: `BENCHMARKS.md` and its like become one each, and so does each source file that a
page names.
"""

import posixpath
import re
from html import unescape
from pathlib import Path
from types import FunctionType

import typer.cli
import typer.main
from latex2mathml.converter import convert
from mkdocs.structure.files import File

import nongreedy
from nongreedy.cli import app

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "nongreedy"
# Pages beside the README -> their places on the site. In the navigation the benchmarks have a place.
BESIDE = {path.name: path.name.lower() for path in sorted(ROOT.glob("*.md"))}
BESIDE["README.md"] = "index.md"
LISTED = ("index.md", "benchmarks.md")
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)(?:#([^)\s]+))?(?=\))")
MATHS = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)


def rooms():
    """The public rooms, and what each has within it: packages and modules without an underscore."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names = parts[:-1] if parts[-1] == "__init__" else parts
        if names and names[0] not in ("cli", "errors") and not any(n[0] == "_" for n in names):
            found.setdefault(names[0], []).append(".".join(names))
    return found


def face():
    """Name on the face -> the room that it lives in."""
    found = {name: getattr(nongreedy, name) for name in dir(nongreedy) if name[0] != "_"}
    named = {name: each for name, each in found.items() if isinstance(each, (type, FunctionType))}
    return {
        name: each.__module__.removeprefix("nongreedy.")
        for name, each in named.items()
        if each.__module__.startswith("nongreedy.")
    }


def on_config(config):
    pages = [{"The face": "reference/index.md"}, {"Command line": "reference/command-line.md"}]
    pages += [{room: f"reference/{room}.md"} for room in rooms()]
    config.nav[-1] = {"Reference": pages}
    project = [
        {page.removesuffix(".md").title(): page} for page in BESIDE.values() if page not in LISTED
    ]
    config.nav += [{"Project": project}] if project else []
    return config


def on_files(files, config):
    made = {
        **{
            page: (ROOT / name).read_text("utf-8")
            for name, page in BESIDE.items()
            if page != "index.md"
        },
        "reference/index.md": _reference(),
        "reference/command-line.md": _command_line(),
        **{f"reference/{room}.md": _room(room, parts) for room, parts in rooms().items()},
    }
    for page in [*files.documentation_pages()]:
        for path in re.findall(r"\]\((?:\.\./)+((?:src|examples)/[^)#]+)", page.content_string):
            made[_source_page(path)] = _source(path)
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    here = page.file.src_uri
    outside = here in BESIDE.values() and here != "index.md"
    beside = "." if outside else posixpath.join("docs", posixpath.dirname(here))

    def moved(match):
        path = posixpath.normpath(posixpath.join(beside, match[1]))
        if path in BESIDE:
            target, anchor = BESIDE[path], match[2] if path != "README.md" else None
        elif path.startswith("docs/"):
            target, anchor = path.removeprefix("docs/"), match[2]
        elif path.startswith(("src/", "examples/")):
            line = (match[2] or "L1").removeprefix("L")
            target, anchor = _source_page(path), f"__codelineno-0-{line}"
        else:
            return match[0]
        link = posixpath.relpath(target, posixpath.dirname(here) or ".")
        return f"{link}#{anchor}" if anchor else link

    return LINK.sub(moved, markdown)


def on_page_content(html, page, config, files):
    """Formulas as MathML, which browsers show without a script; lines of sources can be linked to."""
    page.present_anchor_ids |= set(re.findall(r'id="(__codelineno-[\d-]+)"', html))

    def converted(match):
        formula = unescape(match[2]).strip()
        return convert(formula, display="inline" if match[1] == "span" else "block")

    return MATHS.sub(converted, html)


def _source_page(path):
    return f"source/{path.removesuffix('.py')}.md"


def _source(path):
    text = (ROOT / path).read_text("utf-8")
    return f'# {path}\n\n````python linenums="1"\n{text}````\n'


def _reference():
    rows = [
        f"| [`{name}`][nongreedy.{'' if room.startswith('_') else room + '.'}{name}] | `{room}` |"
        for name, room in sorted(face().items(), key=lambda row: (row[1], row[0]))
    ]
    verbs = "\n\n".join(
        f"::: nongreedy.{name}\n    options: {{show_root_heading: true, show_root_toc_entry: true}}"
        for name, room in face().items()
        if room.startswith("_")
    )
    errors = [name for name, room in face().items() if room == "errors"]
    return (
        "# The face\n\n`import nongreedy as ng` has these names; each is explained in its room.\n\n"
        "| name | room |\n|---|---|\n" + "\n".join(rows) + "\n\n" + verbs + "\n\n"
        f"## Errors\n\n::: nongreedy.errors\n    options: {{heading_level: 3, members: {errors}}}\n"
    )


def _room(room, parts):
    sections = [
        f"## nongreedy.{part}\n\n::: nongreedy.{part}\n    options: {{heading_level: 3}}\n"
        for part in parts
        if part != room
    ]
    return f"# nongreedy.{room}\n\n::: nongreedy.{room}\n\n" + "\n".join(sections)


def _command_line():
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="nongreedy")
    return typer.cli.get_docs_for_click(obj=command, ctx=context, name="nongreedy")
