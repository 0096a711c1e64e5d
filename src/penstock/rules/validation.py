"""Check plain data against an entity and say what is wrong in the words of the person who wrote it.

Used for YAML (through ``specfile``), for JSON bodies and for what the SDK's builders collect. Where an
entity wants text and a number or boolean is given, the text is taken as it was written, because ``PORT: 8080``
and ``version: 1.10`` are meant that way; a key without a value counts as not given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from penstock.entities.errors import Problem, SpecError
from penstock.rules.complaints import SHAPES, choices_of, complain, describe_shapes, hint_for_key
from penstock.rules.pointers import join_pointer
from penstock.rules.suggest import did_you_mean, nearest

ModelT = TypeVar("ModelT", bound=BaseModel)
TextOf = Callable[[str], str | None]
MAX_LISTED_KEYS = 12


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, and the pointer to the value (or its key) whose place it is reported at."""

    problem: Problem
    at: str
    is_key: bool = False


@dataclass(frozen=True, slots=True)
class _Fault:
    """One complaint of pydantic's, with its path resolved against data and model."""

    parts: tuple[str | int, ...]
    kind: str
    value: Any
    context: dict[str, Any]
    text: str
    owner: type[BaseModel] | None
    is_key: bool = False


def validate_entity(model: type[ModelT], data: Any) -> ModelT:
    """Return the entity that plain data describes.

    Raises
    ------
    SpecError
        With every problem found; each has a pointer, a message for people and, where there is one, a hint.
    """
    entity, findings = check_entity(model, data)
    if entity is None:
        raise SpecError([finding.problem for finding in findings])
    return entity


def check_entity(
    model: type[ModelT], data: Any, *, text_of: TextOf | None = None
) -> tuple[ModelT | None, list[Finding]]:
    """Return the entity, or None and what is wrong.

    Parameters
    ----------
    model : type
        The entity's class.
    data : Any
        What JSON can hold.
    text_of : callable, optional
        Gives the text a scalar was written as, by pointer; else it is rendered as JSON renders it.
    """
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        faults = list(_faults(error, model))
    mended = _mend(faults, data, text_of)
    if mended is not None:
        try:
            return model.model_validate(mended), []
        except ValidationError as error:
            faults = list(_faults(error, model))
    return None, list(_findings(faults))


def _faults(error: ValidationError, model: type[BaseModel]) -> Iterator[_Fault]:
    for item in error.errors(include_url=False):
        parts, owner = _resolve(item["loc"], model)
        context = {**_bounds(owner, parts), **(item.get("ctx") or {})}
        is_key = item["loc"][-1:] == ("[key]",) and parts[-1:] != ("[key]",)
        yield _Fault(parts, item["type"], item["input"], context, item["msg"], owner, is_key)


def _bounds(owner: type[BaseModel] | None, parts: tuple[str | int, ...]) -> dict[str, Any]:
    """Return both bounds of a text's length: pydantic tells only the one that was passed."""
    fields = owner.model_fields.items() if owner is not None else ()
    field = next((field for name, field in fields if parts and parts[-1] in (name, field.alias)), None)
    return {
        bound: getattr(rule, bound)
        for rule in (field.metadata if field is not None else ())
        for bound in ("min_length", "max_length")
        if hasattr(rule, bound)
    }


def _resolve(
    loc: tuple[str | int, ...], model: type[BaseModel]
) -> tuple[tuple[str | int, ...], type[BaseModel] | None]:
    """Return the path without pydantic's names of union members, and the model that owns its last part."""
    parts: list[str | int] = []
    options: list[Any] = [model]
    owner: type[BaseModel] | None = None
    is_mapping_key = False
    for item in loc:
        if item == "[key]" and is_mapping_key:
            break
        if len(options) > 1:
            options = [option for option in options if _is_model(option) and option.__name__ == item] or [
                option for option in options if not _is_model(option) and _tag(option) == item
            ]
            continue
        parts.append(item)
        option = options[0] if options else None
        owner = option if _is_model(option) else None
        is_mapping_key = get_origin(option) is dict
        options = _options(_inner(option, item))
    return tuple(parts), owner


def _options(annotation: Any) -> list[Any]:
    """Return the members of a union without None, each without its annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _options(get_args(annotation)[0])
    if origin is Union or origin is UnionType:
        return [option for member in get_args(annotation) for option in _options(member)]
    return [] if annotation in (None, NoneType) else [annotation]


def _inner(option: Any, item: str | int) -> Any:
    if _is_model(option):
        for name, field in option.model_fields.items():
            if item in (name, field.alias):
                return field.annotation
        return None
    arguments = get_args(option)
    return arguments[-1] if arguments and arguments[-1] is not Ellipsis else arguments[0] if arguments else None


def _is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def _tag(option: Any) -> str:
    """Return pydantic's name of a union member that is no model, as far as our entities have them."""
    origin = get_origin(option)
    if origin is None:
        return str(getattr(option, "__name__", option))
    inner = ",".join("any" if argument is Any else _tag(argument) for argument in get_args(option))
    return f"{origin.__name__}[{inner}]"


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys a mapping for this model may have, as users write them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _mend(faults: list[_Fault], data: Any, text_of: TextOf | None) -> Any | None:
    """Return data with texts where texts are wanted and without empty keys, or None when nothing is to mend."""
    mended = data
    at_place = [fault.parts for fault in faults]
    for fault in faults:
        if not fault.parts:
            continue
        if fault.kind == "extra_forbidden":
            if fault.parts[-1] in getattr(fault.owner, "ignored_keys", ()):
                mended = _changed(mended, fault.parts, drop=True)
        elif fault.kind in ("literal_error", "enum") and isinstance(fault.value, str):
            name = _same_word(fault.value, choices_of(fault.context))
            if name is not None:
                mended = _changed(mended, fault.parts, name)
        elif fault.value is None and fault.kind in SHAPES:
            if fault.owner is not None and not _is_required(fault.owner, fault.parts[-1]):
                mended = _changed(mended, fault.parts, drop=True)
            elif fault.kind == "string_type" and at_place.count(fault.parts) == 1 and fault.owner is None:
                mended = _changed(mended, fault.parts, "")
        elif (
            fault.kind == "string_type"
            and isinstance(fault.value, bool | int | float)
            and all(other.kind in SHAPES for other in faults if other.parts == fault.parts)
        ):
            text = text_of(join_pointer(fault.parts)) if text_of else None
            mended = _changed(mended, fault.parts, _rendered(fault.value) if text is None else text)
    return None if mended is data else mended


def _same_word(value: str, names: list[str]) -> str | None:
    """Return the choice that ``URI-Folder`` and ``uriFolder`` mean; Azure ML takes any case, too."""
    plain = value.casefold().replace("-", "_").replace("_", "")
    return next((name for name in names if name.casefold().replace("_", "") == plain), None)


def _rendered(value: bool | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_required(owner: type[BaseModel], key: str | int) -> bool:
    return any(field.is_required() for name, field in owner.model_fields.items() if key in (name, field.alias))


def _changed(data: Any, parts: tuple[str | int, ...], value: Any = None, *, drop: bool = False) -> Any:
    head, rest = parts[0], parts[1:]
    if isinstance(data, dict):
        if head not in data:
            return data
        if not rest and drop:
            return {key: kept for key, kept in data.items() if key != head}
        return {**data, head: _changed(data[head], rest, value, drop=drop) if rest else value}
    if isinstance(data, list) and isinstance(head, int) and head < len(data):
        new = _changed(data[head], rest, value, drop=drop) if rest else value
        return [*data[:head], new, *data[head + 1 :]]
    return data


def _findings(faults: list[_Fault]) -> Iterator[Finding]:
    """Yield one finding for each thing that is wrong; a union's many complaints become one.

    A specification of another type is one mistake, whatever else it holds.
    """
    faults = [fault for fault in faults if fault.parts == ("type",) and fault.kind == "literal_error"] or faults
    meant = {
        (fault.parts[:-1], name)
        for fault in faults
        if fault.kind == "extra_forbidden" and fault.owner is not None
        for name in nearest(str(fault.parts[-1]), keys_of(fault.owner), 1)
    }
    seen = set()
    for fault in faults:
        here = fault.parts
        if fault.kind == "missing" and (here[:-1], here[-1]) in meant:
            continue
        if fault.kind in SHAPES:
            if here in seen or any(_says_more(other, fault) for other in faults):
                continue
            seen.add(here)
            kinds = [other.kind for other in faults if other.parts == here and other.kind in SHAPES]
            yield Finding(Problem(describe_shapes(kinds, fault.value), join_pointer(here)), join_pointer(here))
        elif fault.kind == "extra_forbidden":
            yield _unknown_key(fault)
        elif fault.kind == "missing":
            parent = join_pointer(here[:-1])
            message, hint = complain(fault.kind, here[-1], fault.value, fault.context, fault.text)
            yield Finding(Problem(message, parent, hint), parent, is_key=True)
        elif here not in seen:
            seen.add(here)
            message, hint = complain(fault.kind, here[-1] if here else "", fault.value, fault.context, fault.text)
            yield Finding(Problem(message, join_pointer(here), hint), join_pointer(here), is_key=fault.is_key)


def _says_more(other: _Fault, fault: _Fault) -> bool:
    """Return whether a complaint is about something inside, or about more than the kind of the same value."""
    if other.parts == fault.parts:
        return other.kind not in SHAPES
    return other.parts[: len(fault.parts)] == fault.parts


def _unknown_key(fault: _Fault) -> Finding:
    key = str(fault.parts[-1])
    keys = keys_of(fault.owner) if fault.owner is not None else []
    hint = hint_for_key(key, keys) or did_you_mean(key, keys)
    if not hint and keys:
        shown = [name for name in keys if name != "$schema"]
        more = ", …" if len(shown) > MAX_LISTED_KEYS else ""
        hint = f"Known here: {', '.join(shown[:MAX_LISTED_KEYS])}{more}."
    problem = Problem(f'unknown key "{key[:80]}"', join_pointer(fault.parts[:-1]), hint)
    return Finding(problem, join_pointer(fault.parts), is_key=True)
