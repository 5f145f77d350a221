"""A registry in memory whose users take turns by chance: every call is one step, before which its user may be killed."""

import threading
from collections.abc import Callable, Mapping
from random import Random

from pipelines.succession import State, Version


class Killed(BaseException):
    """What ends a user as kill -9 does: no handler, no further step."""


class Memory:
    """What the registry holds; `step` is what a user waits for before each call."""

    def __init__(self) -> None:
        self.tags: dict[int, dict[str, str]] = {}
        self.alias: int | None = None
        self.step: Callable[[], None] = lambda: None

    def add(self, **tags: object) -> int:
        self.step()
        number = max(self.tags, default=0) + 1
        self.tags[number] = {key: str(value) for key, value in tags.items()}
        return number

    def state(self) -> State:
        self.step()
        alias = self.alias
        self.step()
        return State(tuple(Version(number, dict(tags)) for number, tags in sorted(self.tags.items())), alias)

    def tag(self, number: int, tags: Mapping[str, object]) -> None:
        for key, value in tags.items():
            self.step()
            self.tags[number][key] = str(value)

    def untag(self, number: int, *keys: str) -> None:
        for key in keys:
            self.step()
            self.tags[number].pop(key, None)

    def move_alias(self, number: int) -> None:
        self.step()
        self.alias = number


def interleave(memory: Memory, users: list[Callable[[], object]], random: Random, *, killed: float = 0.0) -> int:
    """Let users work on a memory, one step of one at a time; each step is a user's last by the chance `killed`.

    Returns how many were killed.
    """
    turns = [threading.Semaphore(0) for _ in users]
    done, doomed, failures = threading.Semaphore(0), set(), []
    mine = threading.local()
    alive = list(range(len(users)))

    def step() -> None:
        done.release()
        turns[mine.number].acquire()
        if mine.number in doomed:
            raise Killed

    def work(number: int) -> None:
        mine.number = number
        turns[number].acquire()
        try:
            users[number]()
        except Killed:
            pass
        except BaseException as error:
            failures.append(error)
        alive.remove(number)
        done.release()

    memory.step = step
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(users))]
    for thread in threads:
        thread.start()
    while alive:
        number = random.choice(alive)
        if random.random() < killed:
            doomed.add(number)
        turns[number].release()
        done.acquire()
    for thread in threads:
        thread.join()
    memory.step = lambda: None
    if failures:
        raise failures[0]
    return len(doomed)
