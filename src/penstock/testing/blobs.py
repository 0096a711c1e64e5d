"""The suite every blob store passes: the promise of ``stores/blobs/base.py``.

A backend's test file is a subclass with one fixture::

    class TestLocal(BlobStoreSuite):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: LocalBlobStore(tmp_path / "blobs")
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.entities.errors import ConflictError, NotFoundError, RefusedError, UsageError
from penstock.stores.blobs.base import BlobStore

ABSENT = "0" * 64
LARGE = bytes(range(256)) * 5000  # 1.25 MB: several chunks of any store
_SHARED_STORE = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def sha256(content: bytes) -> str:
    """Return the digest that names ``content``."""
    return hashlib.sha256(content).hexdigest()


def broken(*pieces: bytes) -> Iterator[bytes]:
    """Yield pieces, then break off as a lost client does."""
    yield from pieces
    raise ConnectionResetError("the client went away")


class BlobStoreSuite:
    """The promise, test by test."""

    @pytest.fixture
    def open_store(self) -> Callable[[], BlobStore]:
        """Return a callable that opens the same, at first empty, store each time it is called."""
        raise NotImplementedError("a backend's test class gives this fixture")

    @pytest.fixture
    def store(self, open_store: Callable[[], BlobStore]) -> BlobStore:
        """Return an open store."""
        return open_store()

    @pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["empty", "one byte", "large"])
    @pytest.mark.parametrize("form", ["bytes", "stream", "pieces"])
    def test_content_round_trips(self, store: BlobStore, content: bytes, form: str) -> None:
        """In whatever form it comes."""
        given: dict[str, bytes | BinaryIO | Iterator[bytes]] = {
            "bytes": content,
            "stream": io.BytesIO(content),
            "pieces": iter([content[:7], b"", content[7:]]),
        }
        assert store.put(given[form]) == (sha256(content), len(content))
        assert store.read(sha256(content)) == content
        assert b"".join(store.open(sha256(content))) == content
        assert store.size(sha256(content)) == len(content)
        assert store.exists(sha256(content))

    def test_content_is_there_after_reopening(self, open_store: Callable[[], BlobStore]) -> None:
        """In another instance, as in another process."""
        digest, _ = open_store().put(b"content")
        assert open_store().read(digest) == b"content"

    def test_equal_content_is_one_blob(self, store: BlobStore) -> None:
        """Storing it again, in whatever way, is fine and changes nothing."""
        digest, _ = store.put(b"twice")
        upload = store.begin_upload()
        store.append_upload(upload, 0, b"twice")
        assert store.put(b"twice") == (digest, 5) == store.finish_upload(upload, expected=digest)
        assert store.read(digest) == b"twice"

    def test_content_with_another_digest_is_refused(self, store: BlobStore) -> None:
        """And not kept under either name."""
        with pytest.raises(RefusedError, match=sha256(b"damaged")):
            store.put(b"damaged", expected=sha256(b"whole"))
        assert store.missing([sha256(b"damaged"), sha256(b"whole")]) == [sha256(b"damaged"), sha256(b"whole")]
        assert store.put(b"whole", expected=sha256(b"whole"))[1] == 5

    def test_a_stream_that_breaks_off_leaves_nothing(self, store: BlobStore) -> None:
        """Its own exception reaches the caller."""
        with pytest.raises(ConnectionResetError):
            store.put(broken(b"half"))
        assert not store.exists(sha256(b"half"))

    def test_files_are_stored_and_stay(self, store: BlobStore, tmp_path: Path) -> None:
        """One by one or many at once, small and large, equal ones too."""
        contents = [b"a", LARGE, b"a", b"", LARGE[: 1 << 20]]
        paths = []
        for number, content in enumerate(contents):
            paths.append(tmp_path / f"file {number}")
            paths[-1].write_bytes(content)
        expected = [(sha256(content), len(content)) for content in contents]
        assert store.put_files(paths) == expected == [store.put_file(path) for path in paths]
        assert [path.read_bytes() for path in paths] == contents
        assert [store.read(digest) for digest, _ in expected] == contents
        assert store.put_files([]) == []

    def test_a_file_that_is_not_there_is_the_callers_error(self, store: BlobStore, tmp_path: Path) -> None:
        """It is not mistaken for the store's."""
        with pytest.raises(FileNotFoundError):
            store.put_file(tmp_path / "none")

    @_SHARED_STORE
    @given(
        start=st.integers(min_value=0, max_value=40),
        end=st.none() | st.integers(min_value=0, max_value=40),
        chunk=st.integers(min_value=1, max_value=40),
    )
    def test_ranges_are_slices(self, store: BlobStore, start: int, end: int | None, chunk: int) -> None:
        """``open(start, end)`` yields the bytes a slice has, in chunks no larger than asked for."""
        content = bytes(range(32))
        digest, _ = store.put(content)
        pieces = list(store.open(digest, start=start, end=end, chunk=chunk))
        assert b"".join(pieces) == content[start:end]
        assert all(0 < len(piece) <= chunk for piece in pieces)

    def test_what_is_not_there_is_not_found(self, store: BlobStore) -> None:
        """Before the first chunk, so that a door can still answer 404."""
        assert not store.exists(ABSENT)
        for ask in (store.size, store.read, store.open):
            with pytest.raises(NotFoundError):
                ask(ABSENT)
        path = store.local_path(store.put(b"here")[0])
        assert path is None or path.read_bytes() == b"here"

    def test_missing_names_each_absent_digest_once_in_order(self, store: BlobStore) -> None:
        """And none that is there."""
        there, _ = store.put(b"there")
        assert store.missing(["f" * 64, there, ABSENT, "f" * 64]) == ["f" * 64, ABSENT]
        assert store.missing([]) == []

    @pytest.mark.parametrize("wrong", ["", "abc", "../" + "a" * 61, "A" * 64, "a" * 65, "a" * 64 + "\n", "ａ" * 64])
    def test_what_is_no_digest_is_a_usage_error(self, store: BlobStore, wrong: str) -> None:
        """It never becomes a path."""
        for ask in (store.exists, store.size, store.read, store.open, store.local_path):
            with pytest.raises(UsageError):
                ask(wrong)
        with pytest.raises(UsageError):
            store.missing([wrong])
        with pytest.raises(UsageError):
            store.put(b"", expected=wrong)

    def test_an_upload_is_resumed_after_reopening(self, open_store: Callable[[], BlobStore]) -> None:
        """Its offset says where to continue."""
        upload = open_store().begin_upload()
        assert open_store().append_upload(upload, 0, LARGE[:300_000]) == 300_000
        store = open_store()
        assert store.upload_offset(upload) == 300_000
        assert store.append_upload(upload, 300_000, io.BytesIO(LARGE[300_000:])) == len(LARGE)
        assert not store.exists(sha256(LARGE))
        assert store.finish_upload(upload, expected=sha256(LARGE)) == (sha256(LARGE), len(LARGE))
        assert store.read(sha256(LARGE)) == LARGE

    def test_an_append_at_another_offset_is_refused(self, store: BlobStore) -> None:
        """The message names the current one; nothing changes."""
        upload = store.begin_upload()
        store.append_upload(upload, 0, b"12345")
        for offset in (0, 4, 6):
            with pytest.raises(ConflictError, match="5"):
                store.append_upload(upload, offset, b"x")
        assert store.upload_offset(upload) == 5

    def test_an_append_that_breaks_off_keeps_what_arrived(self, store: BlobStore) -> None:
        """So it is continued and not sent again."""
        upload = store.begin_upload()
        with pytest.raises(ConnectionResetError):
            store.append_upload(upload, 0, broken(b"first ", b"half "))
        assert store.upload_offset(upload) == 11
        store.append_upload(upload, 11, b"rest")
        assert store.read(store.finish_upload(upload)[0]) == b"first half rest"

    def test_a_refused_upload_stays_a_finished_one_goes(self, store: BlobStore) -> None:
        """A wrong digest can be followed by an abort; a finished upload is not found again."""
        upload = store.begin_upload()
        store.append_upload(upload, 0, b"content")
        with pytest.raises(RefusedError):
            store.finish_upload(upload, expected=ABSENT)
        assert store.upload_offset(upload) == 7
        store.finish_upload(upload)
        for ask in (store.finish_upload, store.upload_offset):
            with pytest.raises(NotFoundError):
                ask(upload)
        with pytest.raises(NotFoundError):
            store.append_upload(upload, 7, b"more")

    def test_an_aborted_upload_leaves_nothing(self, store: BlobStore) -> None:
        """Aborting is idempotent."""
        upload = store.begin_upload()
        store.append_upload(upload, 0, b"gone")
        store.abort_upload(upload)
        store.abort_upload(upload)
        with pytest.raises(NotFoundError):
            store.upload_offset(upload)
        assert not store.exists(sha256(b"gone"))

    @pytest.mark.parametrize("wrong", ["", "../x", "a" * 31, "A" * 32, "a" * 32])
    def test_unknown_uploads_are_not_found(self, store: BlobStore, wrong: str) -> None:
        """Whatever their name looks like."""
        with pytest.raises(NotFoundError):
            store.upload_offset(wrong)
        with pytest.raises(NotFoundError):
            store.append_upload(wrong, 0, b"")
        with pytest.raises(NotFoundError):
            store.finish_upload(wrong)

    def test_many_threads_store_the_same_and_different_content(self, store: BlobStore) -> None:
        """Every digest that was returned names its whole content."""
        contents = [LARGE[number % 10 :] for number in range(40)]
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(store.put, contents))
        assert found == [(sha256(content), len(content)) for content in contents]
        assert all(store.read(digest) == content for (digest, _), content in zip(found, contents, strict=True))

    def test_two_appends_at_once_do_not_mix(self, store: BlobStore) -> None:
        """The second one is refused while the first is under way."""
        upload = store.begin_upload()

        def pieces() -> Iterator[bytes]:
            yield b"first"
            with pytest.raises(ConflictError):
                store.append_upload(upload, 0, b"second")
            yield b" whole"

        assert store.append_upload(upload, 0, pieces()) == 11
        assert store.read(store.finish_upload(upload)[0]) == b"first whole"

    def test_a_walk_yields_every_blob_once(self, store: BlobStore) -> None:
        """With the size; what is being uploaded is no blob yet."""
        contents = [b"", b"one", b"two", LARGE]
        expected = {(sha256(content), len(content)) for content in contents}
        for content in (*contents, b"one"):
            store.put(content)
        store.append_upload(store.begin_upload(), 0, b"unfinished")
        assert sorted((blob.digest, blob.size) for blob in store.walk()) == sorted(expected)
        assert store.find(ABSENT) is None

    def test_an_unused_blob_is_set_aside_then_freed(self, store: BlobStore) -> None:
        """It is out of reach at once, and may be stored again."""
        digest, size = store.put(b"old")
        used_at = _used_at(store, digest)
        assert store.set_aside(digest, unused_since=used_at + 1)
        assert not store.exists(digest)
        assert store.missing([digest]) == [digest]
        assert not store.set_aside(digest, unused_since=used_at + 1)
        store.discard(digest)
        store.discard(digest)
        assert store.put(b"old") == (digest, size)
        assert store.read(digest) == b"old"

    def test_a_blob_used_lately_is_not_set_aside(self, store: BlobStore) -> None:
        """It stays whole, readable and found."""
        digest, _ = store.put(b"young")
        assert not store.set_aside(digest, unused_since=_used_at(store, digest))
        assert store.read(digest) == b"young"
        assert [blob.digest for blob in store.walk()] == [digest]

    @pytest.mark.parametrize("use", ["put", "missing", "finish_upload"])
    def test_a_use_keeps_an_old_blob(self, store: BlobStore, use: str) -> None:
        """Storing it again, and hearing that it need not be sent, both count."""
        content = b"wanted again"
        digest, _ = store.put(content)
        before = _used_at(store, digest)
        upload = store.begin_upload()
        store.append_upload(upload, 0, content)
        while _used_at(store, digest) <= before:  # until the clock has gone on by one tick
            if use == "finish_upload":
                upload = store.begin_upload()
                store.append_upload(upload, 0, content)
                store.finish_upload(upload)
            else:
                _ = store.put(content) if use == "put" else store.missing([digest])
        assert not store.set_aside(digest, unused_since=before + 1)
        assert store.read(digest) == content

    def test_what_was_aside_at_a_crash_is_back_after_opening(self, open_store: Callable[[], BlobStore]) -> None:
        """A collection that was killed between taking and freeing loses nothing."""
        store = open_store()
        digest, _ = store.put(b"half collected")
        assert store.set_aside(digest, unused_since=_used_at(store, digest) + 1)
        again = open_store()
        assert again.read(digest) == b"half collected"

    def test_uses_and_a_collection_at_once_lose_nothing(self, store: BlobStore) -> None:
        """Whoever was told that content is there, or stored it, finds it as long as nothing older is swept."""
        content = b"contested"
        digest = sha256(content)
        store.put(content)
        one_collection = Lock()

        def use(_: int) -> bool:
            before = _used_at(store, digest)
            if store.missing([digest]):
                store.put(content)
            with one_collection:
                return not store.set_aside(digest, unused_since=before - 1000)

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(use, range(400)))
        store.put(content)
        assert store.read(digest) == content


def _used_at(store: BlobStore, digest: str) -> int:
    found = store.find(digest)
    return 0 if found is None else found.used_at
