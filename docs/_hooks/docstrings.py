"""Our docstrings as Markdown: formulas, cross-references, and sections under the names that griffe knows."""

import re

import griffe

ROLE = re.compile(r":(?:class|func|meth|data|mod|attr|exc):`~?([\w.]+)`")
FORMULA = re.compile(r"^\.\. math::(.*(?:\n(?:[ \t]+.*)?)*)", re.M)
# A section of ours, to the end of its paragraph.
NOTE = re.compile(r"^(Source|Cannot): ", re.M)


class HouseStyle(griffe.Extension):
    def on_object(self, *, obj, **kwargs):
        if obj.docstring and not obj.is_alias:
            obj.docstring.value = markdown_of(obj.docstring.value, obj)


def markdown_of(text, obj):
    text = FORMULA.sub(lambda match: f"\n$$\n{_aligned(match[1])}\n$$\n\n", text)
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    text = ROLE.sub(lambda match: _reference(match[1], obj), text)
    text = re.sub(r"^Example:$", "Examples:", text, flags=re.M)
    return NOTE.sub(r"**\1:** ", text)


def _aligned(formula):
    return " ".join(line.strip() for line in formula.strip().splitlines())


def _reference(name, obj):
    """A link where the site has the name; else the name as code."""
    try:
        identifier = obj.resolve(name) if not name.startswith("nongreedy.") else name
    except griffe.NameResolutionError:
        identifier = f"nongreedy.{name}"
    return f'<autoref optional identifier="{identifier}"><code>{name}</code></autoref>'
