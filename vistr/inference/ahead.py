"""An iterator that a thread goes through ahead of whoever takes its items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
POLL_SECONDS = 0.05
CLOSE_SECONDS = 5.0


class Ahead(Generic[Item]):
    """The items of an iterable, in order, made in a thread while earlier ones are being used.

    At most `limit` items wait, and one more is being made. What the iterable raises ends its items, and is raised by
    `finish`. Use it with `with`: that ends the thread, and with it the iterable, as soon as the item that it makes is
    done; a thread that waits for a source which says nothing is left to itself.
    """

    def __init__(self, items: Iterable[Item], limit: int = 1) -> None:
        self._items = items
        self._made: Queue[tuple[Item] | BaseException | None] = Queue(limit)
        self._error: BaseException | None = None
        self._is_over, self._closed, self._changed = False, Event(), Event()
        # A daemon, so that a source that waits for ever does not keep the process.
        self._thread = Thread(target=self._make, name="ahead", daemon=True)

    def __enter__(self) -> Ahead[Item]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join(CLOSE_SECONDS)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        made = None if self._is_over else self._made.get()
        if isinstance(made, tuple):
            return made[0]
        self._is_over, self._error = True, made
        raise StopIteration

    def finish(self) -> None:
        """Raise what ended the items before their end, if anything did."""
        if self._error is not None:
            raise self._error

    def is_ready_before(self, other: Future[Any] | None) -> bool:
        """Wait for the next item (or the end), or for something else to be done; whether the item is there."""
        if other is None:
            return False
        other.add_done_callback(lambda _: self._changed.set())
        while True:
            self._changed.clear()
            is_ready = self._is_over or not self._made.empty()
            if is_ready or other.done():
                return is_ready
            self._changed.wait()

    def _make(self) -> None:
        items = iter(self._items)
        try:
            for item in items:
                if not self._put((item,)):
                    return
            self._put(None)
        except BaseException as error:  # whatever it is, it is for the thread that takes the items
            self._put(error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    def _put(self, made: tuple[Item] | BaseException | None) -> bool:
        while not self._closed.is_set():
            try:
                self._made.put(made, timeout=POLL_SECONDS)
                self._changed.set()
                return True
            except Full:
                continue
        return False
