import time
from itertools import pairwise

import pytest

from mixste.errors import MixsteError
from mixste.settings.rules import Problem, SettingsError
from pipelines import cluster

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.mark.parametrize(
    ("cpus", "most", "expected"), [(None, None, None), (None, 1, 1), (None, 9999, None), (2, 1, 2)]
)
def test_a_worker_takes_the_cores_there_are_as_far_as_it_is_worth_them_or_what_it_is_told(cpus, most, expected):
    import ray

    found = cluster.shared_out(1, cpus, 0, least=1, most=most, what="worker", mend="")
    assert found == {"CPU": expected or ray.cluster_resources()["CPU"]}


def test_fanned_out_results_come_in_the_order_of_the_items():
    def slow_first(number: int) -> int:
        import time

        time.sleep(0.3 if number == 0 else 0.0)
        return number * number

    assert cluster.fan_out(slow_first, range(20), "squares") == [number * number for number in range(20)]


def test_nothing_fanned_out_is_nothing():
    assert cluster.fan_out(lambda item: item, [], "nothing") == []


def test_no_more_tasks_run_at_once_than_asked_for():
    def timed(item):
        begin = time.time()
        time.sleep(0.1)
        return begin, time.time()

    times = cluster.fan_out(timed, range(4), "one by one", at_once=1)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(times))


@pytest.mark.parametrize(
    "error",
    [MixsteError("cannot read b.csv", found="3", mend="write 4."), SettingsError([Problem("lr", -1, "above 0")])],
    ids=["plain", "settings"],
)
def test_a_users_error_in_a_task_arrives_as_it_is(error):
    def fail(number: int) -> int:
        if number == 2:
            raise error
        return number

    with pytest.raises(MixsteError) as raised:
        cluster.fan_out(fail, range(4), "numbers")
    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error)


def test_a_bug_in_a_task_arrives_as_itself():
    def divide(number: int) -> float:
        return 1 / number

    with pytest.raises(ZeroDivisionError):
        cluster.fan_out(divide, [1, 0], "divisions")


def test_a_task_that_is_ended_each_time_is_named_with_what_to_do():
    def die(item: str) -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(MixsteError, match=r"the task of S1\.parquet was ended each time.*memory ran out"):
        cluster.fan_out(die, ["S1.parquet"], "tasks")


def test_after_a_users_error_no_more_tasks_are_started(tmp_path):
    folder = str(tmp_path)

    def fail(number: int) -> None:
        import pathlib

        pathlib.Path(folder, str(number)).touch()
        raise MixsteError("cannot")

    with pytest.raises(MixsteError, match="cannot"):
        cluster.fan_out(fail, range(200), "failures")
    assert len(list(tmp_path.iterdir())) < 200
