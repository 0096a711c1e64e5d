"""What every command shares: errors become exit codes, `az ml` habits are understood, examples stay as written.

Contexts and formatters are typed ``Any``: typer carries a click of its own or uses the installed one, depending
on its version.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

from penstock.cli.output import INTERRUPTED, report
from penstock.entities.errors import PenstockError

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

# `az ml` flags that mean nothing here; True where a value follows.
_FOREIGN_FLAGS = {
    "-g": True,
    "--resource-group": True,
    "--subscription": True,
    "--workspace-name": True,
    "--registry-name": True,
    "--only-show-errors": False,
    "--verbose": False,
    "--debug": False,
}


class PenstockCommand(TyperCommand):
    """A command whose errors are reported in one place."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Drop the flags of ``az ml`` that mean nothing here, with one warning line."""
        kept, dropped = _without_foreign(args)
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


def _without_foreign(args: list[str]) -> tuple[list[str], list[str]]:
    kept: list[str] = []
    dropped: list[str] = []
    rest = iter(args)
    for argument in rest:
        if argument == "--":
            kept += [argument, *rest]
            break
        flag, equals, _ = argument.partition("=")
        if flag in _FOREIGN_FLAGS:
            dropped.append(flag)
            if _FOREIGN_FLAGS[flag] and not equals:
                next(rest, None)
        else:
            kept.append(argument)
    return kept, dropped
