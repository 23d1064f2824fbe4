"""What is made next, while what was made before is still being dealt with."""

from collections.abc import Generator, Iterator
from queue import Full, Queue
from threading import Event, Thread
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
WAITING: Final = 1
_PATIENCE_SECONDS: Final = 0.1


def ahead(items: Iterator[Item], waiting: int = WAITING) -> Generator[Item]:
    """The same items in the same order, made in another thread; `waiting` of them lie ready at most.

    What making one raises is raised where it would have been taken. Once nobody takes them any more, because
    of Ctrl-C for example, no further one is begun; the one that is being made is not waited for.
    """
    maker = _Maker(items, waiting)
    maker.start()
    try:
        while True:
            found = maker.made.get()
            if found is None:
                return
            if isinstance(found, BaseException):
                raise found
            yield found[0]
    finally:
        maker.left.set()


class _Maker(Thread, Generic[Item]):
    """Makes items until there is none, one cannot be made, or nobody takes them."""

    def __init__(self, items: Iterator[Item], waiting: int) -> None:
        super().__init__(name="ahead", daemon=True)
        self.made: Queue[tuple[Item] | BaseException | None] = Queue(waiting)
        self.left = Event()
        self._items = items

    def run(self) -> None:
        """In the thread."""
        end: BaseException | None = None
        try:
            for item in self._items:
                if not self._put((item,)):
                    break
        except BaseException as error:  # whatever it is belongs to whoever takes the items
            end = error
        if isinstance(self._items, Generator):
            self._items.close()
        self._put(end)

    def _put(self, item: tuple[Item] | BaseException | None) -> bool:
        """False once nobody takes it."""
        while not self.left.is_set():
            try:
                self.made.put(item, timeout=_PATIENCE_SECONDS)
            except Full:
                continue
            return True
        return False
