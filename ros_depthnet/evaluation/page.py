"""The HTML of reports: one style, readable by day and by night, nothing loaded from elsewhere."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ros_depthnet.whole_files import write_file

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2430; --paper: #fbfbfc; --line: #d8dde4; --soft: #5b6675; --card: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ee; --paper: #15181d; --line: #333b46; --soft: #9aa5b4; --card: #1c2027; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; padding: 1.5rem; max-width: 76rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p.lead, figcaption, footer { color: var(--soft); } footer { margin-top: 2rem; font-size: .85rem; }
figure { margin: 1rem 0; } img, video { max-width: 100%; border-radius: 6px; display: block; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.facts { display: flex; flex-wrap: wrap; gap: .75rem; padding: 0; margin: 1rem 0; list-style: none; }
.facts li { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .5rem .9rem; }
.facts b { display: block; font-size: 1.25rem; } .facts span { color: var(--soft); font-size: .85rem; }
"""


def heading(text: str) -> str:
    """Return a section's heading."""
    return f'<h2>{escape(text)}</h2>'


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f'<p>{escape(text)}</p>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of plain texts."""
    head = ''.join(f'<th>{escape(text)}</th>' for text in headings)
    body = ''.join('<tr>' + ''.join(f'<td>{escape(text)}</td>' for text in row) + '</tr>' for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(numbers: dict[str, str]) -> str:
    """Return a row of cards, each a number and what it means."""
    cards = ''.join(f'<li><b>{escape(value)}</b><span>{escape(name)}</span></li>' for name, value in numbers.items())
    return f'<ul class="facts">{cards}</ul>'


def figure(file_name: str, caption: str) -> str:
    """Return a picture that lies beside the page, linked to its full size."""
    name = escape(file_name)
    return (
        f'<figure><a href="{name}"><img src="{name}" alt="{escape(caption)}" loading="lazy"></a>'
        f'<figcaption>{escape(caption)}</figcaption></figure>'
    )


def video(file_name: str, caption: str) -> str:
    """Return a video that lies beside the page."""
    name = escape(file_name)
    return (
        f'<figure><video src="{name}" controls loop muted autoplay playsinline></video>'
        f'<figcaption>{escape(caption)} (<a href="{name}">{name}</a>)</figcaption></figure>'
    )


def link(file_name: str, text: str) -> str:
    """Return a paragraph that links to a file beside the page."""
    return f'<p><a href="{escape(file_name)}">{escape(file_name)}</a>: {escape(text)}</p>'


def write_page(path: Path, title: str, lead: str, parts: Iterable[str], footer: str) -> Path:
    """Write a page and return its path."""
    content = '\n'.join(parts)
    write_file(
        path,
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{_STYLE}</style></head>\n'
        f'<body><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>\n{content}\n'
        f'<footer>{escape(footer)}</footer></body></html>\n',
    )
    return path
