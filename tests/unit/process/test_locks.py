import os
import threading

import pytest

from mixste.errors import MixsteError
from pipelines.process.locks import alone, in_turn


def test_a_second_command_in_one_folder_is_refused_by_its_name(tmp_path):
    one, other = tmp_path / "scratch-1", tmp_path / "scratch-2"
    refusal = pytest.raises(MixsteError, match=rf"scratch-1 is in use; found: process {os.getpid()} on ")
    with alone(one), alone(other), refusal, alone(one):
        pass
    with alone(one):
        pass


def test_whoever_comes_second_waits_for_the_first(tmp_path):
    folder, order = tmp_path / "made", []

    def second() -> None:
        with in_turn(folder):
            order.append("second")

    thread = threading.Thread(target=second)
    with in_turn(folder):
        thread.start()
        thread.join(timeout=0.2)
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]
