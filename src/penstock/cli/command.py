"""What every command shares: errors become exit codes, `az ml` habits are understood, examples stay as written.

Contexts and formatters are typed ``Any``: typer carries a click of its own or uses the installed one, depending
on its version.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

from penstock.cli.output import INTERRUPTED, report
from penstock.entities.errors import PenstockError

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

# `az ml` flags that mean nothing where a command does not have them; True where a value follows, None where one may.
_FOREIGN_FLAGS: dict[str, bool | None] = {
    "-g": True,
    "--resource-group": True,
    "--subscription": True,
    "--workspace-name": True,
    "--registry-name": True,
    "--only-show-errors": False,
    "--verbose": False,
    "--debug": False,
    "--local": None,
    "--local-enable-gpu": None,
    "--skip-script-validation": False,
    "--vscode-debug": None,
    "--package-model": None,
    "--web": False,
    "--no-wait": False,
    "--container": True,
}
_TRUTHS = frozenset({"true", "false"})


class PenstockCommand(TyperCommand):
    """A command whose errors are reported in one place."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Drop the flags of ``az ml`` that mean nothing here, with one warning line."""
        own = {name for parameter in self.params for name in parameter.opts}
        kept, dropped = _without_foreign(args, own)
        if dropped and not ctx.resilient_parsing:
            verbs = "means nothing here and is" if len(dropped) == 1 else "mean nothing here and are"
            sys.stderr.write(f"warning: {', '.join(dropped)} {verbs} ignored\n")
        return super().parse_args(ctx, kept)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what it raises on purpose becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except PenstockError as error:
            raise typer.Exit(report(error)) from error
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples as they are, not rewrapped."""
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def make_group(summary: str) -> typer.Typer:
    """Return a command group."""
    return typer.Typer(
        help=summary,
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT_SETTINGS,
    )


def command(app: typer.Typer, name: str, *examples: str) -> Callable[[FunctionT], FunctionT]:
    """Return the decorator that adds a command with its examples to a group."""
    return app.command(name, cls=PenstockCommand, epilog="\n".join(examples) or None)


def _without_foreign(args: list[str], own: Collection[str]) -> tuple[list[str], list[str]]:
    kept: list[str] = []
    dropped: list[str] = []
    rest = deque(args)
    while rest:
        argument = rest.popleft()
        if argument == "--":
            kept += [argument, *rest]
            break
        flag, equals, _ = argument.partition("=")
        if flag not in _FOREIGN_FLAGS or flag in own:
            kept.append(argument)
            continue
        dropped.append(flag)
        takes_value = _FOREIGN_FLAGS[flag]
        if rest and not equals and (takes_value or (takes_value is None and rest[0].lower() in _TRUTHS)):
            rest.popleft()
    return kept, dropped
