"""A matplotlib figure as SVG that stands inside an HTML page."""

from __future__ import annotations

import re
from html import escape
from io import StringIO
from typing import TYPE_CHECKING

from experiments.report.theme import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OPENING = re.compile(r"<svg[^>]*>")
_VIEW = re.compile(r'viewBox="([^"]*)"')
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_STYLE = re.compile(r"<style.*?</style>", re.DOTALL)
_IDS = re.compile(r' id="([^"]*)"')
_REFERENCES = re.compile(r'(?:xlink:href="#|url\(#)([^")]*)')
_FONT = re.compile(r"'DejaVu Sans'(, [^;\"]*)?")
_DECIMALS = re.compile(r"(\d+\.\d\d)\d+")
_TAG = re.compile(r"<[^>]*>")
_BLANKS = re.compile(r"\n\s*")


def inline(figure: Figure, key: str, title: str, description: str) -> str:
    """The figure as an `<svg>` element of the page, named for those who cannot see it.

    `key` tells its ids from those of other figures. Colours become the page's variables, text
    takes the page's font.
    """
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    opening = _OPENING.search(text)
    assert opening is not None
    view = _VIEW.search(opening.group())
    assert view is not None
    # The page has the style itself: inside one it would hold for the whole page.
    body = _STYLE.sub("", _METADATA.sub("", text[opening.end() :]))
    referenced = set(_REFERENCES.findall(body))
    body = _IDS.sub(lambda found: f' id="{key}-{found[1]}"' if found[1] in referenced else "", body)
    body = _REFERENCES.sub(lambda found: found[0].replace("#", f"#{key}-"), body)
    body = body.replace("xlink:href", "href")
    body = _FONT.sub("var(--font)", body)
    for name, (light, _) in COLOURS.items():
        body = body.replace(light, f"var(--{name})")
    # Of places, not of what stands there to be read.
    body = _TAG.sub(lambda tag: _DECIMALS.sub(r"\1", tag[0]), body)
    body = _BLANKS.sub("\n", body)
    return (
        f'<svg viewBox="{view[1]}" role="img" aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-desc">{escape(description)}</desc>{body}'
    )
