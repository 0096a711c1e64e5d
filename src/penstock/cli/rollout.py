"""``penstock online-endpoint rollout``: give a new version its traffic step by step, and look on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from penstock.cli.command import command
from penstock.cli.options import NameOption, OutputOption, QueryOption, WorkspaceOption
from penstock.cli.output import emit, note
from penstock.cli.session import open_rest
from penstock.entities.errors import RefusedError, UsageError

LOOK_S = 1.0


def add_rollout_command(app: typer.Typer, details: Mapping[str, str]) -> None:
    """Add ``rollout`` to a group; ``details`` are the lines of an endpoint's table."""

    @command(
        app,
        "rollout",
        "penstock online-endpoint rollout -n digits --to green --watch",
        "penstock online-endpoint rollout -n digits --to green --steps 5,25,100 --time 600",
        "penstock online-endpoint rollout -n digits --abort",
    )
    def rollout(
        name: NameOption,
        to: Annotated[str | None, typer.Option("--to", metavar="DEPLOYMENT", help="The new version.")] = None,
        steps: Annotated[
            str | None,
            typer.Option("--steps", metavar="PERCENT,…", help="Its shares, one after the other [10,50,100]."),
        ] = None,
        requests: Annotated[
            int | None, typer.Option("--requests", min=1, help="A step ends after so many requests of it [200].")
        ] = None,
        seconds: Annotated[
            float | None, typer.Option("--time", min=0, metavar="SECONDS", help="A step ends after so much time.")
        ] = None,
        factor: Annotated[
            float | None, typer.Option("--latency-factor", min=1, help="It may be so many times slower [2].")
        ] = None,
        watch: Annotated[bool, typer.Option("--watch", help="Look on until it is over.")] = False,
        pause: Annotated[bool, typer.Option("--pause", help="Stay at the present step.")] = False,
        resume: Annotated[bool, typer.Option("--resume", help="Go on.")] = False,
        abort: Annotated[bool, typer.Option("--abort", help="Go back to the split before it.")] = False,
        workspace: WorkspaceOption = None,
        output: OutputOption = None,
        query: QueryOption = None,
    ) -> None:
        """Release a deployment step by step.

        One that fails more often than those before it, or is much slower, goes back to 0 % by itself.
        """
        actions = [word for word, is_said in (("pause", pause), ("resume", resume), ("abort", abort)) if is_said]
        if len(actions) + (to is not None) > 1:
            raise UsageError("only one of --to, --pause, --resume and --abort can be done", hint="Say one of them.")
        if not actions and to is None and not watch:
            raise UsageError("nothing to do", hint="Say --to DEPLOYMENT, --pause, --resume, --abort or --watch.")
        rest = open_rest(workspace)
        if to is not None:
            said = {"requests": requests, "time": seconds, "latency_factor": factor}
            spec: dict[str, Any] = {"to": to, **{key: value for key, value in said.items() if value is not None}}
            if steps is not None:
                spec["steps"] = _percents(steps)
            endpoint = rest.start_rollout(name, spec)
        elif actions:
            endpoint = rest.change_rollout(name, actions[0])
        else:
            endpoint = rest.get_endpoint(name)
        if watch:
            endpoint = _watch(rest, name)
        emit(endpoint, columns=details, output=output, query=query)


def _watch(rest: Any, name: str) -> Any:
    """Write a line whenever something is new, until the release is over; raise where it went back."""
    shown = ""
    while True:
        endpoint = rest.get_endpoint(name)
        found = endpoint.get("rollout")
        if found is None:
            raise UsageError(f'no release of "{name}"', hint="Begin one with --to DEPLOYMENT.")
        line = _line(found)
        if line != shown:
            note(line)
            shown = line
        if found["state"] == "RolledBack":
            raise RefusedError(
                f'"{found["spec"]["to"]}" went back to 0 %: {found["message"]}',
                hint=f"Its log: penstock online-deployment get-logs -e {name} -n {found['spec']['to']}",
                ref=f"endpoint:{name}/{found['spec']['to']}",
            )
        if found["state"] not in ("Running", "Paused"):
            return endpoint
        time.sleep(LOOK_S)


def _line(found: Any) -> str:
    counts = (
        f"{found['failures']} of {found['requests']} failed, before {found['old_failures']} of {found['old_requests']}"
    )
    said = f"; {found['message']}" if found["message"] and found["state"] in ("Running", "Paused") else ""
    return f"{found['spec']['to']} {found['percent']} % ({found['state']}): {counts}{said}"


def _percents(text: str) -> list[int]:
    parts = text.replace(",", " ").replace("%", " ").split()
    if not parts or not all(part.isdecimal() for part in parts):
        raise UsageError(f'--steps "{text}" are no percentages', hint="Write for example 10,50,100.")
    return [int(part) for part in parts]
