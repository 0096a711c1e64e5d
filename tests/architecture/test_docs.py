"""The documentation is true: every link leads somewhere, every command and option is described."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_every_link_leads_somewhere():
    build = runpy.run_path(str(DOCS / "build.py"))
    pages = list(build["find_pages"]())
    assert len(pages) > 5
    assert [problem for page in pages for problem in build["check_links"](page)] == []


def test_every_command_and_option_is_described():
    reference = runpy.run_path(str(DOCS / "cli_reference.py"))
    assert reference["PAGE"].read_text("utf-8") == reference["render"](), "run: python docs/cli_reference.py"
