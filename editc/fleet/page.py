"""The page of a fleet: a table with a row for each input and a column for each model, then what failed and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from editc.fleet.results.store import Store
from editc.fleet.rows import Row, counts

STYLE = """\
:root { --paper: #fff; --ink: #1c2228; --soft: #5a6570; --line: #dfe3e7; --link: #1f5fae;
  --done: #e5f4ec; --failed: #fcebe9; --waiting: #f5f6f7; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181c; --ink: #e7eaed; --soft: #9aa5af; --line: #323a42;
  --link: #82b4f2; --done: #143226; --failed: #3c1d1b; --waiting: #1c2227; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }
a { color: var(--link); } small, .soft { color: var(--soft); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; } th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; }
td.done { background: var(--done); } td.failed { background: var(--failed); } td.waiting { background: var(--waiting); }
"""
"""The style of the page. It has no script and refers to nothing outside its folder."""
MARKS = {"done": "✓", "failed": "✕", "waiting": "…"}
"""State of a cell -> its sign. The word stands beside it, so that colour and sign are not needed."""


def as_html(rows: Sequence[Row], store: Store, verb: str) -> str:
    """The whole page."""
    found = counts(rows)
    head = f"{found['done']} of {len(rows)} cells done, {found['failed']} failed, {found['waiting']} waiting"
    title = f"{escape(verb)}: {head}"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{title} · editc fleet</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>",
            *_table(rows, store),
            *_failures(rows, store),
            "</body>\n</html>\n",
        ]
    )


def _table(rows: Sequence[Row], store: Store) -> Iterator[str]:
    """The cells as a table."""
    models = tuple(dict.fromkeys(row.cell.model_name for row in rows))
    inputs = tuple(dict.fromkeys(row.cell.input_name for row in rows))
    at = {(row.cell.input_name, row.cell.model_name): row for row in rows}
    yield '<div class="scroll"><table>\n<thead><tr><th scope="col"></th>'
    yield "".join(f'<th scope="col">{escape(name)}</th>' for name in models) + "</tr></thead>\n<tbody>"
    for name in inputs:
        cells = (_cell(at.get((name, model)), store) for model in models)
        yield f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>'
    yield "</tbody></table></div>"


def _cell(row: Row | None, store: Store) -> str:
    """One cell of the table, with a link to its report if it has one."""
    if row is None:
        return '<td class="soft">the same as another</td>'
    text = f"{MARKS[row.status]} {row.status}"
    if row.status == "failed":
        text = f'<a href="#{row.cell.name[:24]}">{text}</a>'
    files = row.record["files"] if row.record else ()
    report = next((name for name in files if name.endswith(".html")), "")
    if report:
        folder = store.of(row.cell.name).relative_to(store.folder).as_posix()
        text += f' <a href="{folder}/{report}">report</a>'
    seconds = f"<small> {row.record['run']['seconds']:.1f} s</small>" if row.record else ""
    return f'<td class="{row.status}">{text}{seconds}</td>'


def _failures(rows: Sequence[Row], store: Store) -> Iterator[str]:
    """The cells that failed, each with its errors."""
    failed = [row for row in rows if row.status == "failed"]
    if not failed:
        return
    yield "<h2>What failed, and why?</h2>\n<dl>"
    for row in failed:
        yield f'<dt id="{row.cell.name[:24]}">{escape(row.cell.title)}</dt>'
        for one in row.errors:
            place = f" <small>{escape(str(one['place']))}</small>" if one.get("place") else ""
            help_text = f"<br>{escape(str(one['help']))}" if one.get("help") else ""
            yield f"<dd><b>{escape(str(one['code']))}</b> {escape(str(one['message']))}{place}{help_text}</dd>"
    yield "</dl>"
