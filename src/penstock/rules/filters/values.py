"""Values in Penstock's own filters: numbers, texts, lists, dates and durations."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from penstock.entities.errors import UsageError
from penstock.rules.filters.habits import hint_for_text
from penstock.rules.filters.tokens import Kind, Reader, Token
from penstock.rules.filters.tree import Field, Op, Scope, Value

TIMES = frozenset({"start_time", "end_time"})
DURATION = "duration"
_TEXTS = (Kind.SINGLE, Kind.DOUBLE)
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|[dhms]))")


def takes_numbers(field: Field) -> bool:
    """Return whether a field compares with numbers."""
    return field.scope is Scope.METRIC or (
        field.scope is Scope.ATTRIBUTE and (field.key in TIMES or field.key == DURATION)
    )


def read_value(reader: Reader, field: Field, op: Op) -> Value:
    """Return what a field is compared with, a list after IN, or raise UsageError."""
    if op not in (Op.IN, Op.NOT_IN):
        return _read_one(reader, field)
    token = reader.skip_spaces()
    if not reader.is_at("("):
        raise UsageError(f"column {token.column}: a list in parentheses is expected after {op}")
    reader.take()
    found = [_read_one(reader, field)]
    while True:
        token = reader.skip_spaces()
        if reader.is_at(")"):
            reader.take()
            return tuple(found)  # type: ignore[return-value] # texts or numbers: a field takes only one of them
        if not reader.is_at(","):
            raise UsageError(f'column {token.column}: a comma or ")" is expected in a list')
        reader.take()
        if reader.skip_spaces().text != ")":
            found.append(_read_one(reader, field))


def _read_one(reader: Reader, field: Field) -> str | int | float:
    token = reader.skip_spaces()
    is_escaped = token.text in ("E", "e") and reader.peek(1).kind in _TEXTS and reader.peek(1).start == token.end
    if is_escaped:
        reader.take()
    value = reader.take()
    if value.kind is Kind.NUMBER:
        return _number(value, field)
    if value.kind not in _TEXTS:
        kind = "a number" if field.scope is Scope.METRIC else "a quoted text"
        found = "the end" if value.kind is Kind.END else repr(value.text[:40])
        hint = "" if value.kind is Kind.END or kind == "a number" else hint_for_text(value.text, _name_of(field))
        raise UsageError(f"column {value.column}: {found} stands where {kind} is expected", hint=hint)
    text = value.text[1:-1]
    if is_escaped:
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    if not takes_numbers(field):
        return text
    if field.scope is Scope.METRIC:
        raise UsageError(
            f"column {value.column}: metrics compare with numbers, which are not quoted",
            hint=f"Write {_name_of(field)} > 0.9, for example.",
        )
    return _duration(text, value) if field.key == DURATION else _time(text, value)


def _name_of(field: Field) -> str:
    return field.key if field.scope is Scope.ATTRIBUTE else f"{field.scope}s.{field.key}"


def _number(value: Token, field: Field) -> str | int | float:
    if field == Field(Scope.ATTRIBUTE, "experiment_id"):
        return value.text
    if not takes_numbers(field):
        raise UsageError(
            f"column {value.column}: {field.scope}s compare with texts; write '{value.text[:40]}'",
            hint="Texts compare byte by byte, also those that look like numbers.",
        )
    if field.scope is Scope.METRIC:
        return float(value.text)
    try:
        return int(value.text)
    except ValueError:
        return float(value.text)


def _time(text: str, value: Token) -> int:
    """Return ms UTC of an RFC 3339 date or date and time; without a zone it is UTC."""
    try:
        found = datetime.fromisoformat(text.strip())
        moment = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"column {value.column}: {text[:40]!r} is no time", hint="Write '2026-01-31', '2026-01-31T12:00:00Z' or ms."
        ) from error


def _duration(text: str, value: Token) -> int:
    """Return ms of a duration such as ``1h30m``."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise UsageError(
            f"column {value.column}: {text[:40]!r} is no duration", hint="Write '90s', '1h30m', '2d' or milliseconds."
        )
    return round(sum(float(number) * _UNITS_MS[unit] for number, unit in parts))
