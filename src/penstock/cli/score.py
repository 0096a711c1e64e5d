"""``penstock score``: a ``score.py`` alone, tried once in the open or served as the stand-alone server does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from penstock.app.scoring import ScriptToRun, serve_script, try_script
from penstock.cli.command import command, make_group
from penstock.cli.output import note
from penstock.entities.asset import EnvironmentSpec
from penstock.entities.errors import UsageError
from penstock.sdk.spec.assets import close_environment

app = make_group("Try or serve a score.py alone, without a workspace.")

DEFAULT_PORT = 5001
DEFAULT_HEALTH_PORT = 5000
DEBUG_PORT = 5678

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", "-m", metavar="DIR|FILE", help="The model. AZUREML_MODEL_DIR is then a folder that contains it."
    ),
]
ModelDirOption = Annotated[
    Path | None,
    typer.Option("--model-dir", "--model_dir", metavar="DIR", help="What AZUREML_MODEL_DIR is, instead of --model."),
]
EnvironmentOption = Annotated[
    Path | None,
    typer.Option("--environment", metavar="YAML", help="A conda file to run it in, built once; else this interpreter."),
]
VariableOption = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME=VALUE", help="A variable for the script; may be given several times."),
]


@command(
    app,
    "test",
    "penstock score test score.py --model outputs/model --data sample.json",
    "penstock score test score.py --model outputs/model --image nine.png",
    "penstock score test score.py --model outputs/model --data sample.json --debugpy",
)
def try_(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="The score.py.")],
    model: ModelOption = None,
    model_dir: ModelDirOption = None,
    data: Annotated[Path | None, typer.Option("--data", "-d", metavar="FILE", help="The request's body.")] = None,
    image: Annotated[
        Path | None, typer.Option("--image", metavar="FILE", help="A picture to send, in base64 within JSON.")
    ] = None,
    image_field: Annotated[str, typer.Option("--image-field", help="The picture's name in that JSON.")] = "image",
    environment: EnvironmentOption = None,
    env: VariableOption = None,
    debugpy: Annotated[bool, typer.Option("--debugpy", help="Wait for a debugger first.")] = False,
    debug_port: Annotated[int, typer.Option("--debug-port", min=1, max=65535, help="Where to wait.")] = DEBUG_PORT,
) -> None:
    """Call init and run once, in the open, and print the answer.

    Both run in this process, so breakpoint() works; with --environment in that interpreter. Without --data and
    --image, run gets the sample that the script's @input_schema names. A script with @rawhttp gets a picture's bytes.
    Exit status 1 if the script fails.
    """
    if data is not None and image is not None:
        raise UsageError("--data and --image are both given", hint="Give one of them.")
    wanted = _wanted(script, model, model_dir, environment, env)
    port = debug_port if debugpy else 0
    status = try_script(wanted, data=data, image=image, field=image_field, debug_port=port, log=note)
    raise typer.Exit(status)


@command(
    app,
    "serve",
    "penstock score serve score.py --model outputs/model",
    "curl -H 'Content-Type: application/json' -d @sample.json http://127.0.0.1:5001/score",
)
def serve(
    script: Annotated[Path | None, typer.Argument(metavar="SCRIPT", help="The score.py.")] = None,
    entry_script: Annotated[
        Path | None, typer.Option("--entry-script", "--entry_script", metavar="FILE", help="The same.")
    ] = None,
    model: ModelOption = None,
    model_dir: ModelDirOption = None,
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Where to listen.")] = DEFAULT_PORT,
    host: Annotated[str, typer.Option("--host", help="Address to bind.")] = "127.0.0.1",
    worker_count: Annotated[
        int | None,
        typer.Option("--worker-count", "--worker_count", min=1, help="Scoring processes.", show_default="1"),
    ] = None,
    health_port: Annotated[
        int | None,
        typer.Option("--health-port", "--health_port", min=1, max=65535, help="A second port, for health checks."),
    ] = None,
    origins: Annotated[
        str | None,
        typer.Option(
            "--access-control-allow-origins",
            "--access_control_allow_origins",
            metavar="ORIGINS",
            help="Origins whose pages may call (CORS), with commas between.",
        ),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option("--config-file", "--config_file", metavar="JSON", help="Settings such as SCORING_TIMEOUT_MS."),
    ] = None,
    insights_key: Annotated[
        str | None,
        typer.Option(
            "--appinsights-instrumentation-key",
            "--appinsights_instrumentation_key",
            metavar="KEY",
            help="Accepted and ignored.",
        ),
    ] = None,
    environment: EnvironmentOption = None,
    env: VariableOption = None,
) -> None:
    """Serve a script on a port of its own, without a key.

    Flags and answers are those of azureml-inference-server-http. GET / says Healthy, /score takes GET and POST,
    /swagger.json describes the script. Exit status 3 if the script cannot be imported or its init fails.
    """
    chosen = script or entry_script
    if chosen is None:
        raise UsageError("no script is given", hint="For example: penstock score serve score.py --model outputs/model")
    if insights_key is not None:
        note("warning: --appinsights_instrumentation_key means nothing here and is ignored")
    variables = {"SERVER_PORT": str(port)}
    if origins is not None:
        variables["AML_CORS_ORIGINS"] = origins
    if config_file is not None:
        variables["AZUREML_CONFIG_FILE"] = str(config_file.resolve())
    ports = [port]
    if health_port is not None or os.environ.get("SEPERATE_HEALTH_ENDPOINT") == "true":
        ports.append(health_port or DEFAULT_HEALTH_PORT)
    wanted = _wanted(chosen, model, model_dir, environment, env, variables)
    serve_script(wanted, host=host, ports=list(dict.fromkeys(ports)), workers=worker_count or _worker_count(), log=note)


def _wanted(
    script: Path,
    model: Path | None,
    model_dir: Path | None,
    environment: Path | None,
    env: list[str] | None,
    variables: dict[str, str] | None = None,
) -> ScriptToRun:
    if model is not None and model_dir is not None:
        raise UsageError("--model and --model-dir are both given", hint="--model-dir is AZUREML_MODEL_DIR itself.")
    given = dict(variables or {})
    for each in env or ():
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise UsageError(f"--env {each}: this is no NAME=VALUE")
        given[name] = value
    spec = None
    if environment is not None:
        spec = close_environment(EnvironmentSpec(conda_file=environment.name), folder=environment.resolve().parent)
    return ScriptToRun(script, model, model_dir, spec, given)


def _worker_count() -> int:
    text = os.environ.get("WORKER_COUNT", "1")
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"WORKER_COUNT is no number of processes: {text!r}")
    return int(text)
