"""Write ``docs/reference/cli.md`` from the command line itself: ``python docs/cli_reference.py``.

A test compares the page with what this gives, so no command or option is undocumented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from penstock.cli.main import app

PAGE = Path(__file__).with_name("reference") / "cli.md"
HEAD = """# Command line

`penstock <noun> <verb>`, with the nouns and verbs of `az ml`. Made from the commands' own help, which `-h` prints.

**Which workspace.** `-w` names a folder or a server's URL; else `PENSTOCK_WORKSPACE`; else the nearest from here
upwards of a folder with `penstock.toml` and a workspace `.penstock`. `up` and every `create` make one where there is
none; all others say so. A folder's server is started when a command needs it; `status`, `token` and `down` start none.

**Output.** Results go to standard output, everything else to standard error. `-o table|json|yaml|tsv`, and `--query`
with a JMESPath expression: `$(penstock job create -f job.yml --query name -o tsv)`.

**Exit status.** 0 fine, 1 the job failed or the audit log is damaged, 2 usage or specification, 3 not found, 4 refused,
5 server unreachable.

**Habits of `az ml`.** `-g`, `--resource-group`, `--workspace-name`, `--subscription` and the like are accepted with
one warning line. So are settings of a YAML file that change nothing here: `warning: ignored here: identity, services`.
"""


def render() -> str:
    """Return the page."""
    root = get_command(app)
    return HEAD + "".join(sections(root, root.context_class(root, info_name="penstock")))


def sections(group: Any, context: Any) -> Iterator[str]:
    """Yield the Markdown of a group's commands, groups among them with theirs."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = command.context_class(command, info_name=name, parent=context)
        if hasattr(command, "list_commands"):
            yield f"\n## {inner.command_path}\n\n{paragraphs(command.help)}\n"
            yield from sections(command, inner)
        else:
            level = "###" if context.parent else "##"
            yield f"\n{level} {inner.command_path}\n\n{paragraphs(command.help)}\n\n"
            yield "".join(option(parameter, inner) for parameter in command.params)
            if command.epilog:
                yield f"\n```console\n{re.sub(r'^', '$ ', command.epilog.strip(), flags=re.MULTILINE)}\n```\n"


def paragraphs(text: str | None) -> str:
    """Return a help text with each paragraph on one line."""
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def option(parameter: Any, context: Any) -> str:
    """Return one line about an option or argument."""
    record = parameter.get_help_record(context)
    if record is None:
        return ""
    spelling, meaning = record
    return f"- `{spelling}`: {' '.join(meaning.split())}\n"


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
