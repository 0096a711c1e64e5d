"""Check every link of the documentation and render it to ``docs/_site``: ``make docs``.

Reads the Markdown files at the root, in ``docs/`` and in ``examples/``. A link must lead to a file of the
repository, and its ``#anchor`` to a heading there; addresses on the web are not visited.
"""

from __future__ import annotations

import html
import itertools
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
SITE = ROOT / "docs" / "_site"
MARKDOWN = MarkdownIt("commonmark").enable("table")
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="stylesheet" href="{up}style.css">
<nav><a href="{up}README.html">Penstock</a></nav><main>
{body}</main></html>
"""
STYLE = """body{font:16px/1.6 system-ui,sans-serif;color:#17253f;margin:0;background:#fff}
main,nav{max-width:46rem;margin:auto;padding:1rem}nav{border-bottom:1px solid #e0e4ea}
a{color:#2471a3}code,pre{font:14px/1.5 ui-monospace,monospace;background:#f4f6f8;border-radius:4px}
code{padding:.1em .3em}pre{padding:1rem;overflow-x:auto}pre code{padding:0}
table{border-collapse:collapse;display:block;overflow-x:auto}
td,th{border:1px solid #e0e4ea;padding:.3rem .6rem;text-align:left}
"""


def main() -> int:
    """Check and render; return 1 if a link leads nowhere."""
    pages = list(find_pages())
    problems = [problem for page in pages for problem in check_links(page)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    shutil.rmtree(SITE, ignore_errors=True)
    for page in pages:
        render(page)
    (SITE / "style.css").write_text(STYLE)
    print(f"{len(pages)} pages, every link leads somewhere: {(SITE / 'README.html').relative_to(ROOT)}")
    return 0


def find_pages() -> Iterator[Path]:
    """Yield the Markdown files that are documentation."""
    yield from sorted(ROOT.glob("*.md"))
    for folder in ("docs", "examples"):
        yield from sorted(path for path in (ROOT / folder).rglob("*.md") if SITE not in path.parents)


def check_links(page: Path) -> Iterator[str]:
    """Yield one line for each link of a page that leads nowhere."""
    for token in walk(MARKDOWN.parse(page.read_text("utf-8"))):
        address = token.attrGet("href") or token.attrGet("src")
        if not isinstance(address, str) or re.match(r"[a-z]+:", address):
            continue
        path, _, anchor = unquote(address).partition("#")
        target = (page.parent / path).resolve() if path else page
        where = f"{page.relative_to(ROOT)}: {address}"
        if not target.exists() or ROOT not in target.parents:
            yield f"{where}: there is no such file"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield f"{where}: there is no such heading"


def walk(tokens: list[Token]) -> Iterator[Token]:
    """Yield tokens and those inside them."""
    for token in tokens:
        yield token
        yield from walk(token.children or [])


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    tokens = MARKDOWN.parse(page.read_text("utf-8"))
    headings = (after.content for token, after in itertools.pairwise(tokens) if token.type == "heading_open")
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def render(page: Path) -> None:
    """Write one page as HTML, its links to Markdown turned into links to HTML."""
    relative = page.relative_to(ROOT)
    tokens = MARKDOWN.parse(page.read_text("utf-8"))
    for token in walk(tokens):
        address = token.attrGet("href")
        if isinstance(address, str) and not re.match(r"[a-z]+:", address):
            token.attrSet("href", re.sub(r"\.md(#|$)", r".html\1", address))
    target = (SITE / relative).with_suffix(".html")
    target.parent.mkdir(parents=True, exist_ok=True)
    body = MARKDOWN.renderer.render(tokens, MARKDOWN.options, {})
    title = html.escape(next((token.content for token in tokens if token.type == "inline"), relative.stem))
    target.write_text(PAGE.format(title=title, up="../" * (len(relative.parts) - 1), body=body))


if __name__ == "__main__":
    sys.exit(main())
