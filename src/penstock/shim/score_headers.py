"""Pairs of names and values that may repeat: headers, form fields, query parameters. Standard library only, >= 3.9."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Iterator, Optional


class Pairs:
    """Names with one or more values each, in order; what a request's ``args`` and ``form`` are."""

    def __init__(self, pairs: Iterable[tuple[str, Any]] = ()) -> None:
        self._pairs = list(pairs)

    @staticmethod
    def _key(name: Any) -> Any:
        return name

    def get(self, name: str, default: Any = None, type: Optional[Callable[[Any], Any]] = None) -> Any:
        """Return the first value, converted if asked for; the default where there is none or it does not convert."""
        for value in self.getlist(name):
            try:
                return value if type is None else type(value)
            except (TypeError, ValueError):
                return default
        return default

    def getlist(self, name: str) -> list[Any]:
        """Return all values."""
        key = self._key(name)
        return [value for each, value in self._pairs if self._key(each) == key]

    def to_dict(self, flat: bool = True) -> dict[str, Any]:
        """Return the first values by name, or all of them."""
        names = dict.fromkeys(name for name, _ in self._pairs)
        return {name: self.getlist(name)[0] if flat else self.getlist(name) for name in names}

    def items(self, multi: bool = False) -> Iterator[tuple[str, Any]]:
        """Yield names with their first values, or all pairs."""
        return iter(list(self._pairs) if multi else self.to_dict().items())

    def keys(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self.to_dict())

    def values(self) -> Iterator[Any]:
        """Yield the first value of each name."""
        return iter(self.to_dict().values())

    def __getitem__(self, name: str) -> Any:
        for value in self.getlist(name):
            return value
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(self._key(each) == self._key(name) for each, _ in self._pairs)

    def __iter__(self) -> Iterator[Any]:
        return self.keys()

    def __len__(self) -> int:
        return len(self.to_dict())

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def __repr__(self) -> str:
        return "%s(%r)" % (type(self).__name__, self._pairs)


class Headers(Pairs):
    """Headers: names whatever their case; iteration and ``items`` give every line."""

    @staticmethod
    def _key(name: Any) -> Any:
        return name.lower() if isinstance(name, str) else name

    def items(self, multi: bool = True) -> Iterator[tuple[str, Any]]:
        """Yield every line as (name, value)."""
        return iter(list(self._pairs))

    def keys(self) -> Iterator[str]:
        """Yield every line's name."""
        return iter([name for name, _ in self._pairs])

    def values(self) -> Iterator[Any]:
        """Yield every line's value."""
        return iter([value for _, value in self._pairs])

    def __iter__(self) -> Iterator[Any]:
        return self.items()

    def __len__(self) -> int:
        return len(self._pairs)

    def add(self, name: str, value: Any) -> None:
        """Add a line, whatever is there."""
        self._pairs.append((name, str(value)))

    add_header = add

    def remove(self, name: str) -> None:
        """Take out every line of a name."""
        self._pairs = [pair for pair in self._pairs if self._key(pair[0]) != self._key(name)]

    def set(self, name: str, value: Any) -> None:
        """Have one line of a name."""
        self.remove(name)
        self.add(name, value)

    def setdefault(self, name: str, value: Any) -> Any:
        """Add a line where there is none of that name, and return the value there is."""
        if name not in self:
            self.add(name, value)
        return self[name]

    def extend(self, headers: Any) -> None:
        """Add lines from a mapping or pairs."""
        for name, value in headers.items() if hasattr(headers, "items") else headers:
            self.add(name, value)

    def __setitem__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        self.remove(name)
