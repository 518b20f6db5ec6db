"""The look of a page that needs nothing but itself: style, tables, pictures, numbers."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

STYLE = """
:root { --ink: #1b2330; --dim: #5d6878; --line: #dfe4ea; --soft: #f5f7fa; --model: #1d5fd1; --warn: #fff4d6 }
* { box-sizing: border-box }
body { margin: 0; color: var(--ink); background: #fff; font: 15px/1.5 system-ui, "Segoe UI", Helvetica, sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px }
h2 { font-size: 20px; margin: 40px 0 12px; padding-bottom: 6px; border-bottom: 1px solid var(--line) }
h3 { font-size: 16px; margin: 20px 0 6px }
header p { margin: 0; color: var(--dim) }
small, .note { color: var(--dim); font-size: 12.5px }
.warning { background: var(--warn); border-left: 4px solid #d97706; padding: 10px 14px; margin: 20px 0 0 }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 24px 0 0 }
.tiles div { flex: 1 1 180px; background: var(--soft); border-radius: 8px; padding: 14px 16px }
.tiles span, .tiles small { display: block; color: var(--dim); font-size: 13px }
.tiles strong { display: block; font-size: 28px; line-height: 1.3; color: var(--model) }
.wide { overflow-x: auto; margin: 12px 0 }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--line); white-space: nowrap }
th { font-weight: 600 }
thead th { color: var(--dim); font-weight: 500; vertical-align: bottom; white-space: normal }
th:first-child, details td:nth-child(-n+2) { text-align: left }
tr.model td { font-weight: 600 }
tr.model td small { font-weight: 400 }
table.facts { width: auto }
table.facts th, table.facts td { text-align: left; vertical-align: top; white-space: normal; overflow-wrap: anywhere }
table.facts th { color: var(--dim); font-weight: 500; min-width: 150px }
figure { margin: 16px 0 }
figure img { width: 100%; border-radius: 6px; border: 1px solid var(--line); display: block }
figcaption { color: var(--dim); font-size: 13px; margin-top: 4px }
details { margin: 32px 0 0 }
summary { cursor: pointer; font-weight: 600 }
pre { background: var(--soft); border-radius: 6px; padding: 12px 14px; white-space: pre-wrap; overflow-wrap: anywhere }
@media print {
  main { max-width: none; padding: 0 }
  figure, tr, .tiles { break-inside: avoid }
  h2, h3 { break-after: avoid }
}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document around parts that are HTML already."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><main>\n{''.join(parts)}\n</main></body></html>\n"
    )


def table(heads: Sequence[str], rows: Iterable[str]) -> str:
    """Heads are text, rows come from `row`."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def row(cells: Iterable[str], *, name: str = "", span: int = 1, kind: str = "") -> str:
    """Cells are HTML; name is the text of a first cell that goes over `span` rows; kind: CSS class."""
    first = f'<th rowspan="{span}">{escape(name)}</th>' if name else ""
    return f'<tr class="{kind}">{first}{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def facts(known: Mapping[str, str]) -> str:
    """Names and texts as a table; empty texts are left out."""
    rows = [f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in known.items() if text]
    return f'<div class="wide"><table class="facts"><tbody>{"".join(rows)}</tbody></table></div>'


def image(png: bytes, caption: str) -> str:
    """A picture with a caption, held by the page itself."""
    text = escape(caption)
    source = base64.b64encode(png).decode()
    return f'<figure><img src="data:image/png;base64,{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def number(value: float, is_distance: bool = False) -> str:
    return f"{value:.2f}" if is_distance else f"{value:.3f}"


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def listed(names: Iterable[str], most: int = 6) -> str:
    """The first names, and how many more there are."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
