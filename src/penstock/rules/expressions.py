"""Azure ML's expressions: ``${{inputs.lr}}``, ``${{outputs.model}}``, ``${{name}}`` and ``$[[optional]]`` blocks.

The values come from the caller as text; nothing is quoted, because a command is the author's own shell line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from penstock.entities.base import PARAMETER_NAME_PATTERN
from penstock.entities.errors import Problem, SpecError
from penstock.rules.suggest import nearest

_EXPRESSION = re.compile(r"\$\{\{\s*((?:(?!\$\{\{).)*?)\s*\}\}", re.DOTALL)
_BLOCK = re.compile(r"\$\[\[((?:(?!\$\[\[).)*?)\]\]", re.DOTALL)
# "$[[:" opens a character class of a regular expression behind a dollar sign, no block.
_OPENING = re.compile(r"\$\{\{|\$\[\[(?![:.=])")
_SINGLE = re.compile(r"\$\{\s*((?:inputs|outputs)\.[\w-]+)\s*\}")
_WORD = re.compile(r"\s*([\w.-]+)")
_PARAMETER = re.compile(PARAMETER_NAME_PATTERN)
MAX_SHOWN = 60
MAX_LISTED = 8
_DECLARATIONS = {
    "inputs": "0.1, or {type: uri_folder, path: ./folder}",
    "outputs": "{type: uri_folder}",
}


@dataclass(frozen=True, slots=True)
class Expression:
    """One ``${{path}}`` of a text; ``start`` and ``end`` are its offsets, ``is_optional`` says it is in ``$[[ ]]``."""

    path: str
    start: int
    end: int
    is_optional: bool = False

    @property
    def parts(self) -> list[str]:
        """Return the path at its dots: ``["inputs", "lr"]``."""
        return self.path.split(".")


def find_expressions(text: str) -> list[Expression]:
    """Return the expressions of a text in their order."""
    blocks = [match.span() for match in _BLOCK.finditer(text)]
    return [
        Expression(
            match[1],
            *match.span(),
            is_optional=any(start <= match.start() and match.end() <= end for start, end in blocks),
        )
        for match in _EXPRESSION.finditer(text)
    ]


def is_bound(text: str) -> bool:
    """Return whether a text holds an expression."""
    return "${{" in text and _EXPRESSION.search(text) is not None


def render(value: str | bool | int | float) -> str:
    """Return a literal as a command sees it: booleans as ``True`` and ``False``, numbers as Python writes them."""
    return value if isinstance(value, str) else str(value)


def expand(text: str, values: Mapping[str, str | None], *, pointer: str = "") -> str:
    """Return a text with its expressions replaced and its optional blocks decided.

    Parameters
    ----------
    text : str
        For example a command.
    values : mapping of str to str or None
        By full path, such as ``inputs.lr``; None is an optional input without a value.
    pointer : str
        Where the text stands, for messages.

    Returns
    -------
    str
        A ``$[[…]]`` block is dropped when an input inside has no value, else only its brackets are; a block without
        an input stays as it is.

    Raises
    ------
    SpecError
        For every expression that names nothing, or names an input without a value outside of a block.
    """
    problems = check_expressions(text, values, pointer=pointer)
    if problems:
        raise SpecError(problems)

    def fill(part: str) -> str:
        return _EXPRESSION.sub(lambda match: values.get(match[1]) or "", part)

    def decide(match: re.Match[str]) -> str:
        inside = [expression.path for expression in find_expressions(match[1])]
        if not any(path.startswith("inputs.") for path in inside):
            return fill(match[0])
        return "" if any(values.get(path) is None for path in inside) else fill(match[1])

    return "".join(_outside_and_blocks(text, fill, decide))


def _outside_and_blocks(
    text: str, outside: Callable[[str], str], block: Callable[[re.Match[str]], str]
) -> Iterator[str]:
    end = 0
    for match in _BLOCK.finditer(text):
        yield outside(text[end : match.start()])
        yield block(match)
        end = match.end()
    yield outside(text[end:])


def check_expressions(text: str, values: Mapping[str, str | None], *, pointer: str = "") -> list[Problem]:
    """Return what ``expand`` would refuse, without expanding; each problem knows its offset in the text."""
    problems = [*_unclosed(text, pointer), *_single_braces(text, pointer)]
    for expression in find_expressions(text):
        shown = expression.path if len(expression.path) <= MAX_SHOWN else expression.path[: MAX_SHOWN - 1] + "…"
        if expression.path not in values:
            message, hint = f"${{{{{shown}}}}} names nothing here", _hint(expression.path, list(values))
        elif values[expression.path] is None and not expression.is_optional:
            message = f"the optional input ${{{{{shown}}}}} has no value"
            hint = f"Give it a value, or put the part that needs it in $[[…]], as in $[[--x ${{{{{shown}}}}}]]."
        else:
            continue
        problems.append(Problem(message, pointer, hint, offset=expression.start))
    return sorted(problems, key=lambda problem: problem.offset or 0)


def _unclosed(text: str, pointer: str) -> Iterator[Problem]:
    """Yield a problem for each ``${{`` and ``$[[`` that nothing closes: a shell would fail on it."""
    opened = {match.start() for pattern in (_EXPRESSION, _BLOCK) for match in pattern.finditer(text)}
    for match in _OPENING.finditer(text):
        if match.start() in opened:
            continue
        word = _WORD.match(text, match.end())
        is_block = match[0] == "$[["
        if is_block:
            hint = "Close it with ]], as in $[[--x ${{inputs.x}}]]."
        else:
            hint = f"Write ${{{{{word[1] if word and len(word[1]) <= MAX_SHOWN else 'inputs.x'}}}}}."
        yield Problem(f"{match[0]} is not closed", pointer, hint, offset=match.start())


def _single_braces(text: str, pointer: str) -> Iterator[Problem]:
    """Yield a problem for each ``${inputs.x}``, which a shell takes for a variable of that impossible name."""
    for match in _SINGLE.finditer(text):
        shown = match[1] if len(match[1]) <= MAX_SHOWN else "inputs.x"
        yield Problem(f"${{{shown}}} is no expression", pointer, f"Write ${{{{{shown}}}}}.", offset=match.start())


def expand_command(
    command: str, inputs: Mapping[str, str | None], outputs: Mapping[str, str], name: str, *, pointer: str = "/command"
) -> str:
    """Return a command with its inputs, outputs and the job's name filled in.

    Parameters
    ----------
    command : str
        As the author wrote it.
    inputs : mapping of str to str or None
        Literals as ``render`` gives them, paths for the others; None for an optional one that is not given.
    outputs : mapping of str to str
        The path of each output.
    name : str
        The job's name, for ``${{name}}``.
    pointer : str
        Where the command stands, for messages.

    Raises
    ------
    SpecError
        See ``expand``.
    """
    return expand(command, job_values(inputs, outputs, name), pointer=pointer)


def job_values(inputs: Mapping[str, str | None], outputs: Mapping[str, str], name: str) -> dict[str, str | None]:
    """Return what the expressions of a job can name, by full path."""
    values: dict[str, str | None] = {f"inputs.{key}": value for key, value in inputs.items()}
    values.update({f"outputs.{key}": value for key, value in outputs.items()})
    values["name"] = name
    return values


def _hint(path: str, known: list[str]) -> str:
    kind, _, name = path.partition(".")
    same = [other for other in known if other.startswith(f"{kind}.")]
    close = nearest(name, [other.partition(".")[2] for other in same])
    meant = [f"{kind}.{other}" for other in close]
    if kind in _DECLARATIONS and _PARAMETER.match(name):
        meant = meant or [other for other in known if other.partition(".")[2] == name]
        if not meant:
            return f"Declare it under {kind}: {name}: {_DECLARATIONS[kind]}"
    meant = meant or nearest(path, known)
    if meant:
        return f"Did you mean {' or '.join(f'${{{{{other}}}}}' for other in meant)}?"
    listed = ", ".join(f"${{{{{other}}}}}" for other in (same or known)[:MAX_LISTED])
    return f"Known here: {listed}{', …' if len(same or known) > MAX_LISTED else ''}."
