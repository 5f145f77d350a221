"""Take the champion back: `python -m pipelines.rollback [--to VERSION] [--why TEXT]`, or see what there is: `--list`.

The alias goes to the champion before, or to the version that is named, and everything registered later than that is
rolled back: it says when, why and to what, and becomes champion again only by name.
"""

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from rich.console import Console

from mixste.errors import MixsteError
from pipelines import registry
from pipelines.params import Params, load
from pipelines.process.stage import run
from pipelines.registry import gate
from pipelines.registry.listing import table
from pipelines.registry.succession import (
    State,
    Succession,
    Version,
    choose,
    previous,
    settle,
    standing,
)
from pipelines.tracking import store

log = logging.getLogger(__name__)


def roll_back(shelf: registry.Shelf, seen: State, to: int | None, why: str) -> str:
    """Move the alias to version `to`, or to the champion before the one of the state `seen`; return what was done.

    Raises MixsteError if there is no such version, or if the champion is another by now.
    """
    champion, at_alias = standing(seen), seen.version(seen.alias)
    if champion and at_alias and at_alias != champion and to in (None, champion.number):
        now = _settled(shelf).champion
        return f"the rollback of {_number(at_alias)} had begun and is done now: {_where(shelf.alias, now)}"
    target = _target(shelf, seen, to)
    with registry.taking_turns(shelf.uri, shelf.name):
        state = shelf.state()
        if _number(found := standing(state)) != _number(champion):
            raise MixsteError(
                f"{shelf.alias} is no longer {_number(champion)}",
                found=f"{_number(found)}, since this command began",
                mend="look again: python -m pipelines.rollback --list",
            )
        choose(shelf, state, target, when=datetime.now(UTC).isoformat(timespec="seconds"), why=why)
        now = _settled(shelf).champion
    gone = [str(v.number) for v in state.versions if v.number > target.number and not v.rolled_back]
    left = f"; rolled back: {', '.join(gone)}" if gone else ""
    return f"{_where(shelf.alias, now)}, before it at {_number(champion)}{left}"


def _target(shelf: registry.Shelf, state: State, to: int | None) -> Version:
    champion = standing(state)
    target = previous(state) if to is None else state.version(to)
    numbers = ", ".join(str(version.number) for version in state.versions) or "none"
    if target is None and to is not None:
        raise MixsteError(f"no version {to} of {shelf.name}", expected=f"one of {numbers}")
    if target is None:
        raise MixsteError(
            f"nothing to go back to from {_number(champion)} of {shelf.name}",
            found=f"no champion before it; versions: {numbers}",
            mend="name a version: python -m pipelines.rollback --to VERSION",
        )
    if target == champion:
        raise MixsteError(f"{shelf.alias} stands at {_number(target)} already", expected="another version")
    return target


def _settled(shelf: registry.Shelf) -> Succession:
    return settle(shelf, partial(gate.judge, shelf.alias, shelf.clip_errors))[1]


def _where(alias: str, champion: Version | None) -> str:
    return f"{alias} stands at {_number(champion)}"


def _number(version: Version | None) -> str:
    return f"version {version.number}" if version else "no version"


@contextmanager
def opened(params: Params) -> Iterator[registry.Shelf]:
    """The registered model that conf names; MixsteError if its store is not there or does not answer."""
    uri = store.store_uri()
    try:
        store.wait_at_most(params.tracking.timeout)
        store.knock(uri, params.tracking.timeout)
        yield registry.Shelf(uri, params.register.name, params.register.alias)
    except MixsteError:
        raise
    except Exception as error:  # MLflow raises its own kinds
        raise MixsteError(
            f"cannot use the registry at {uri}",
            found=error,
            expected="an MLflow server that answers, or the sqlite file of this checkout",
            mend="run the same command again once it answers: what was begun is gone on with",
        ) from error


def main() -> None:
    """Roll back, or list the versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=int, metavar="VERSION", help="the version to stand at; else the champion before")
    parser.add_argument("--why", default="", metavar="TEXT", help="what is to be read where the version is looked at")
    parser.add_argument("--list", action="store_true", help="show the versions and change nothing")
    chosen = parser.parse_args()
    with opened(load()) as shelf:
        state = shelf.state()
        if chosen.list:
            Console(file=sys.stdout).print(table(shelf, state))
        else:
            log.info("%s: %s", shelf.name, roll_back(shelf, state, chosen.to, chosen.why))


if __name__ == "__main__":
    run(main)
