"""Tensors of the Open Inference Protocol to arrays and back: datatypes, JSON values, raw bytes.

Raw tensors are little-endian and row-major; elements of BYTES are a length of 4 bytes and that many bytes each.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import msgspec
import numpy as np

from penstock.inference.contract import Array, BadInputError, suggest

BYTES = "BYTES"
DTYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    BYTES: "str",
}
DATATYPES = {dtype: datatype for datatype, dtype in DTYPES.items()}
MAX_RANK = 32
MAX_EMPTY = 1 << 16
_JSON_TYPES: dict[str, type] = {"b": bool, "f": float, "i": int, "u": int}
_LENGTH = struct.Struct("<I")


def datatype_of(dtype: str) -> str:
    """Return the protocol's name of a contract's dtype; a sequence of mappings travels as a matrix of FP32."""
    return DATATYPES.get(dtype, "FP32" if dtype == "sequence" else dtype.upper())


def check_datatype(name: str, datatype: str) -> None:
    """Refuse what is no datatype, with the nearest that is one, and BF16, which numpy does not have.

    Raises
    ------
    BadInputError
    """
    if datatype in DTYPES:
        return
    if datatype == "BF16":
        raise BadInputError(f"input {name!r}: BF16 is not taken", hint="Send it as FP32, which holds every BF16 value.")
    raise BadInputError(f"input {name!r}: {datatype[:40]!r} is no datatype", hint=suggest(datatype[:40], list(DTYPES)))


def count_of(name: str, shape: Sequence[int]) -> int:
    """Return how many values a shape has; raises BadInputError for what is no shape."""
    if len(shape) > MAX_RANK or any(length < 0 for length in shape):
        raise BadInputError(
            f"input {name!r}: {list(shape)[:MAX_RANK]} is no shape", hint="Send a length of 0 or more for each axis."
        )
    count = prod(shape)
    if count == 0 and max(shape) > MAX_EMPTY:  # what a model makes of no values may be as large as the others say
        raise BadInputError(f"input {name!r}: an empty tensor has no axis longer than {MAX_EMPTY}")
    return count


def from_bytes(name: str, datatype: str, shape: Sequence[int], content: memoryview) -> Array:
    """Return a tensor of raw values without copying them, but where the memory is not aligned.

    Raises
    ------
    BadInputError
        If the shape and datatype make another size.
    """
    dtype = np.dtype(DTYPES[datatype])
    wanted = count_of(name, shape) * dtype.itemsize
    if wanted != len(content):
        raise BadInputError(
            f"input {name!r} has {len(content)} bytes, {datatype} of shape {list(shape)} has {wanted}",
            hint="Raw tensors are row-major, without gaps.",
        )
    array = np.frombuffer(content, dtype)
    if dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise BadInputError(f"input {name!r}: a BOOL has the byte 0 or 1")
    return np.require(array, requirements="A").reshape(shape)


def split_bytes(name: str, shape: Sequence[int], content: memoryview) -> list[bytes]:
    """Return the elements of a raw BYTES tensor.

    Raises
    ------
    BadInputError
        If a length goes beyond the end, or there are more or fewer elements than the shape has.
    """
    found: list[bytes] = []
    position, end = 0, len(content)
    while position < end:
        start = position + _LENGTH.size
        stop = start + (_LENGTH.unpack_from(content, position)[0] if start <= end else end)
        if stop > end:
            raise BadInputError(
                f"input {name!r}: element {len(found)} goes beyond the tensor's {end} bytes",
                hint="Each element of BYTES is its length, 4 bytes little-endian, and that many bytes.",
            )
        found.append(bytes(content[start:stop]))
        position = stop
    if len(found) != count_of(name, shape):
        raise BadInputError(f"input {name!r} has {len(found)} elements, its shape {list(shape)} has {prod(shape)}")
    return found


def to_texts(name: str, shape: Sequence[int], elements: Sequence[bytes]) -> Array:
    """Return elements as text; raises BadInputError for what is no UTF-8."""
    try:
        texts = [element.decode("utf-8") for element in elements]
    except UnicodeDecodeError as error:
        raise BadInputError(f"input {name!r} holds bytes that are no UTF-8 text: {error}") from error
    return np.array(texts, dtype=object).reshape(shape)


def from_json(name: str, datatype: str, shape: Sequence[int], content: msgspec.Raw) -> Array:
    """Return a tensor of JSON values: a flat list, or lists nested as the shape is.

    Raises
    ------
    BadInputError
        If a value is of another type, or the number of values is not the shape's.
    """
    dtype = np.dtype(object if datatype == BYTES else DTYPES[datatype])
    wanted = count_of(name, shape)
    values = _decode(name, dtype.kind, len(shape), content)
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=dtype)
    except (OverflowError, ValueError) as error:
        raise BadInputError(f"input {name!r}: {str(error)[:200]}", hint=f"The datatype is {datatype}.") from error
    if array.size != wanted or (array.ndim > 1 and array.shape != tuple(shape)):
        raise BadInputError(
            f"input {name!r} has data of shape {list(array.shape)}, it says {list(shape)}",
            hint="Send a flat list in row-major order, or one nested as the shape says.",
        )
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise BadInputError(f"input {name!r} holds a number beyond {datatype}")
    return array.reshape(shape)


def _decode(name: str, kind: str, rank: int, content: msgspec.Raw) -> list[Any]:
    item = _JSON_TYPES.get(kind, str)
    for depth in dict.fromkeys((1, max(rank, 1))):
        try:
            values: list[Any] = _decoder(item, depth).decode(content)
            return values
        except msgspec.ValidationError as error:
            problem = str(error)
            if "got `array`" not in problem:  # so it is flat, and one of its values is wrong
                break
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadInputError(f"input {name!r}: {error}") from error
    raise BadInputError(f"input {name!r}: {problem}", hint="Send a flat list of values, or one nested as the shape is.")


@lru_cache(maxsize=256)
def _decoder(item: type, depth: int) -> msgspec.json.Decoder[Any]:
    wanted: Any = item
    for _ in range(depth):
        wanted = list[wanted]
    return msgspec.json.Decoder(wanted)


def to_array(value: Any) -> Array:
    """Return an output as an array of a datatype; of a list of mappings, their values a row."""
    if isinstance(value, list):
        rows = [list(row.values()) if isinstance(row, dict) else row for row in value]
        return np.asarray(rows, dtype=np.float32)
    array = np.asarray(value)
    return array if array.dtype.kind in "biuf" else array.astype(object)


def to_bytes(array: Array) -> bytes:
    """Return a tensor's raw bytes."""
    if array.dtype.kind != "O":
        return array.tobytes()
    encoded = [element if isinstance(element, bytes) else str(element).encode("utf-8") for element in array.flat]
    return b"".join(part for element in encoded for part in (_LENGTH.pack(len(element)), element))
