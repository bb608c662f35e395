"""A bar chart as SVG, readable on light and dark pages. (pure)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 760
LABEL_WIDTH = 210
BAR_HEIGHT = 15
GAP = 12
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600 } .who { text-anchor: end }
.ours { fill: #0969da } .peer { fill: #8c959f }
@media (prefers-color-scheme: dark) { text { fill: #d0d7de } .ours { fill: #4493f8 } .peer { fill: #6e7681 } }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One of a group; `text` stands at its end."""

    label: str
    value: float
    text: str
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Bars to compare with one another."""

    title: str
    bars: Sequence[Bar]


def draw(title: str, groups: Sequence[Group]) -> str:
    """The SVG; all groups have one scale, from zero."""
    longest = max((bar.value for group in groups for bar in group.bars), default=0) or 1
    room = WIDTH - LABEL_WIDTH - 90
    parts = []
    y = 22
    for group in groups:
        y += GAP + BAR_HEIGHT
        parts.append(f'<text x="8" y="{y - 4}">{escape(group.title)}</text>')
        for bar in group.bars:
            width = max(1, round(room * bar.value / longest))
            end = LABEL_WIDTH + 8 + width
            kind = "ours" if bar.is_ours else "peer"
            parts += [
                f'<text class="who" x="{LABEL_WIDTH}" y="{y + 12}">{escape(bar.label)}</text>',
                f'<rect class="{kind}" x="{LABEL_WIDTH + 8}" y="{y + 1}" width="{width}" height="{BAR_HEIGHT - 2}"/>',
                f'<text x="{end + 6}" y="{y + 12}">{escape(bar.text)}</text>',
            ]
            y += BAR_HEIGHT
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + GAP}" width="{WIDTH}">'
    name = f'<text class="title" x="8" y="20">{escape(title)}</text>'
    return "\n".join([head, f"<style>{STYLE}</style>", name, *parts, "</svg>"]) + "\n"
