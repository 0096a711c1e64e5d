"""A set of digests in eight bytes each, for marking what is named among millions of blobs."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

_PREFIX_DIGITS = 16


class DigestMarks:
    """Digests of content that is named, eight bytes each; one it does not hold is named nowhere.

    Of two digests with the same first 64 bits both count as named, so that a collision keeps content and never
    loses it. Add everything, :meth:`seal`, then ask.
    """

    def __init__(self) -> None:
        self._buckets = [array("Q") for _ in range(256)]

    def add(self, digests: Iterable[str]) -> None:
        """Note digests, SHA-256 in hex."""
        buckets = self._buckets
        for digest in digests:
            number = int(digest[:_PREFIX_DIGITS], 16)
            buckets[number >> 56].append(number)

    def seal(self) -> None:
        """Sort what was noted; a bucket at a time, because sorting all at once would hold up other threads."""
        for index, bucket in enumerate(self._buckets):
            self._buckets[index] = array("Q", sorted(set(bucket)))

    def __contains__(self, digest: str) -> bool:
        number = int(digest[:_PREFIX_DIGITS], 16)
        bucket = self._buckets[number >> 56]
        place = bisect_left(bucket, number)
        return place < len(bucket) and bucket[place] == number

    def __len__(self) -> int:
        return sum(map(len, self._buckets))
