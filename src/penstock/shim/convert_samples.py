"""Rows on which a converted model must agree with the model: its input example, and seeded rows around it.

A signature of MLflow declares types and no ranges, so the range of a column is made from the input example: from
its least to its greatest value, and on either side twice the larger of that span and of the greatest absolute value
(1 where all are zero); a column that is never negative stays so, and one that is never positive too. Of a tensor,
all values together are one column. Texts are those of the example and the categories that the model's encoders learned.
Standard library only, Python >= 3.9; numpy and pandas are the interpreter's.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Callable, Optional

UNSEEN = "text-that-no-example-has"
UNSEEN_SHARE, MISSING_SHARE, MISSING_ROWS = 0.05, 0.2, 200
_DTYPES = {"double": "float64", "float": "float32", "integer": "int32", "long": "int64", "boolean": "bool"}
_LIMITS = {"integer": 2**31 - 1, "long": 2**53}
_FLOATS = ("double", "float")


class Refused(Exception):
    """The model is not converted; the text is the reason."""


class Samples:
    """What is known of the columns of a model's input.

    Parameters
    ----------
    columns : list of dict, optional
        ``name`` and ``type`` of the signature; None for a tensor of numbers of shape [-1, ``width``].
    width : int
        The number of columns.
    example : list of list
        The input example's rows.
    seed : int
        Of the generator.
    """

    def __init__(
        self, columns: Optional[list[dict[str, Any]]], width: int, example: list[list[Any]], seed: int
    ) -> None:
        self._columns = columns
        self._types = [column["type"] for column in columns] if columns is not None else ["double"] * width
        for number, kind in enumerate(self._types):
            if kind != "string" and kind not in _DTYPES:
                raise Refused("its input %s is of the type %s" % (self._name(number), kind))
        if not example:
            raise Refused(
                "it has no input example; log it with input_example=…, or autolog with log_input_examples=True"
            )
        self._example = example
        self._random = import_module("numpy").random.default_rng(seed)
        self._ranges = [self._range(number) for number in range(width)]
        self._categories: dict[int, list[str]] = {}
        self.takes_missing = False
        self.takes_unseen = True
        self.closed_categories: dict[str, list[str]] = {}

    def learn(self, estimator: Any, predict: Callable[[Any], Any]) -> None:
        """Find out what the model's encoders know, and whether it takes missing values and unseen texts.

        Raises
        ------
        Refused
            If it takes no unseen text and does not say which texts there are.
        """
        known = _encoder_categories(estimator)
        for number, kind in enumerate(self._types):
            if kind == "string":
                seen = {row[number] for row in self._example if isinstance(row[number], str)}
                self._categories[number] = sorted(seen | set(known.get(self._name(number), ())))
        first = next((row for row in self._example if None not in row), self._example[0])
        floats = [number for number, kind in enumerate(self._types) if kind in _FLOATS]
        self.takes_missing = bool(floats) and all(self._is_taken(predict, first, number, None) for number in floats)
        texts = list(self._categories)
        self.takes_unseen = all(self._is_taken(predict, first, number, UNSEEN) for number in texts)
        if not self.takes_unseen:
            for number in texts:
                if self._name(number) not in known:
                    raise Refused("the texts that it takes for %s are not known" % self._name(number))
                self.closed_categories[self._name(number)] = self._categories[number]

    def rows(self, count: int) -> list[list[Any]]:
        """Return the example's rows and ``count`` seeded ones, as JSON types."""
        return self._example + self._seeded(count)

    def rows_with_missing(self) -> list[list[Any]]:
        """Return more seeded rows, with missing values strewn in; none where the model takes none."""
        if not self.takes_missing:
            return []
        rows = self._seeded(MISSING_ROWS)
        for number, kind in enumerate(self._types):
            if kind in _FLOATS:
                for row, chance in zip(rows, self._random.random(len(rows))):
                    row[number] = None if chance < MISSING_SHARE else row[number]
        return rows

    def _seeded(self, count: int) -> list[list[Any]]:
        columns = [self._draw(number, count) for number in range(len(self._types))]
        return [list(row) for row in zip(*columns)]

    def describe(self) -> list[dict[str, Any]]:
        """Return the range or the texts of each column; of a tensor once."""
        described = []
        for number in range(1 if self._columns is None else len(self._types)):
            entry: dict[str, Any] = {"name": self._name(number), "type": self._types[number]}
            if number in self._categories:
                entry["values"] = self._categories[number][:50]
            elif self._types[number] != "boolean":
                entry["from"], entry["to"] = self._ranges[number]
            described.append(entry)
        return described

    def _name(self, number: int) -> str:
        return str(self._columns[number]["name"]) if self._columns is not None else "values"

    def _range(self, number: int) -> tuple[float, float]:
        if self._types[number] in ("string", "boolean"):
            return 0.0, 1.0
        rows = self._example
        values = [row[number] for row in rows] if self._columns is not None else [v for row in rows for v in row]
        values = [float(value) for value in values if value is not None]
        if not values:
            return -1.0, 1.0
        least, most = min(values), max(values)
        margin = 2.0 * max(most - least, abs(least), abs(most)) or 1.0
        low = max(0.0, least - margin) if least >= 0 else least - margin
        high = min(0.0, most + margin) if most < 0 else most + margin
        limit = _LIMITS.get(self._types[number])
        return (low, high) if limit is None else (max(low, -limit), min(high, limit))

    def _draw(self, number: int, count: int) -> list[Any]:
        kind, draw = self._types[number], self._random
        if kind == "string":
            values: list[Any] = [str(value) for value in draw.choice(self._categories[number] or [UNSEEN], count)]
            if self.takes_unseen:
                return [UNSEEN if chance < UNSEEN_SHARE else v for v, chance in zip(values, draw.random(count))]
            return values
        if kind == "boolean":
            return [bool(value) for value in draw.integers(0, 2, count)]
        low, high = self._ranges[number]
        if kind not in _FLOATS:
            return [int(value) for value in draw.integers(int(low), int(high) + 1, count)]
        return list(draw.uniform(low, high, count).astype(_DTYPES[kind]).tolist())

    def _is_taken(self, predict: Callable[[Any], Any], row: list[Any], number: int, value: Any) -> bool:
        changed = [value if n == number else one for n, one in enumerate(row)]
        try:
            predict(make_frame(self._columns, [changed]))
        except Exception:
            return False
        return True


def make_frame(columns: Optional[list[dict[str, Any]]], rows: list[list[Any]]) -> Any:
    """Return rows as pyfunc hands them to the model: a DataFrame of the signature's types, or an array."""
    if columns is None:
        return import_module("numpy").array(
            [[float("nan") if v is None else v for v in row] for row in rows], "float64"
        )
    pandas = import_module("pandas")
    frame = pandas.DataFrame(rows, columns=[column["name"] for column in columns])
    for column in columns:
        if column["type"] in _DTYPES:
            frame[column["name"]] = frame[column["name"]].astype(_DTYPES[column["type"]])
    return frame


def _encoder_categories(estimator: Any) -> dict[str, set[str]]:
    """Return the texts that encoders learned, by column name."""
    found: dict[str, set[str]] = {}
    waiting, seen = [estimator], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        categories, names = getattr(one, "categories_", None), getattr(one, "feature_names_in_", None)
        if categories is not None and names is not None and len(categories) == len(names):
            for name, values in zip(names, categories):
                found.setdefault(str(name), set()).update(value for value in values if isinstance(value, str))
        for part in [*getattr(one, "steps", ()), *getattr(one, "transformers_", ())]:
            waiting.append(part[1])
    return found
