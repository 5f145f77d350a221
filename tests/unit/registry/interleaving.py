"""A registry in memory whose users take turns by chance: every call is a step, before which its user may be killed."""

import threading
from collections.abc import Callable, Mapping
from random import Random

from pipelines.registry.succession import State, Version


def chance(seed: int) -> Random:
    """Numbers drawn from a seed."""
    return Random(seed)  # noqa: S311


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


class User(threading.Thread):
    """Somebody who works on a memory, and stops before each step until it is his turn."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.work, self.doomed, self.done, self.failure = work, False, False, None
        self.turn, self.paused = threading.Semaphore(0), threading.Semaphore(0)

    def run(self) -> None:
        try:
            self._wait()
            self.work()
        except Killed:
            pass
        except BaseException as error:
            self.failure = error
        self.done = True
        self.paused.release()

    def step(self) -> None:
        self.paused.release()
        self._wait()

    def _wait(self) -> None:
        self.turn.acquire()
        if self.doomed:
            raise Killed

    def go_on(self) -> bool:
        """Let him do one step; whether he has more to do."""
        self.turn.release()
        self.paused.acquire()
        if self.failure:
            raise self.failure
        return not self.done


def interleave(memory: Memory, works: list[Callable[[], object]], random: Random, *, killed: float = 0.0) -> int:
    """Let users work on a memory, one step of one at a time; each step is his last by the chance `killed`.

    Returns how many were killed.
    """
    users = [User(work) for work in works]
    memory.step = lambda: threading.current_thread().step()
    for user in users:
        user.start()
    alive = list(users)
    while alive:
        user = random.choice(alive)
        user.doomed = random.random() < killed
        if not user.go_on():
            alive.remove(user)
    memory.step = lambda: None
    return sum(user.doomed for user in users)
