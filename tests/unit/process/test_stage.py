"""What every verb says when it cannot go on."""

import logging
from collections.abc import Iterator

import pytest

from mixste.errors import MixsteError
from pipelines.process import stage


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    names = ("", "ray", "mlflow", "alembic", "httpx", "matplotlib")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def ended(error: BaseException) -> int:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        stage.run(main)
    return caught.value.code


def test_a_users_error_is_one_message(capsys: pytest.CaptureFixture[str]):
    assert ended(MixsteError("no such port", found="abc")) == 1
    assert capsys.readouterr().err == "\nerror: no such port; found: abc\n"


def test_a_stopped_verb_promises_only_what_is_true_of_every_verb(capsys: pytest.CaptureFixture[str]):
    assert ended(KeyboardInterrupt()) == 130
    message = capsys.readouterr().err
    assert "run the same command again: a training goes on from its last epoch" in message
    assert "checkpoint" not in message
