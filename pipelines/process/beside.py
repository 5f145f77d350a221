"""Work in a thread beside a block of code, until that has ended."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Ended = Callable[[float], bool]


@contextmanager
def beside(work: Callable[[Ended], None], *, patience: float) -> Iterator[None]:
    """Run `work` in a thread while the block runs, and then wait for it no longer than `patience` seconds.

    It is given `ended(seconds)`, which waits so long at most and says whether the block has ended.
    """
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over.wait,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=patience)
