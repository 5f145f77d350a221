"""Sending an outbox: in order, again without doubling anything, and past what the store refuses for good."""

from pathlib import Path

import pytest
import requests

from pipelines.tracking import sending, store
from pipelines.tracking.outbox import Outbox, Progress, Writer
from pipelines.tracking.sending import described, send, send_all
from tests.unit.tracking.outboxes import begin, history


@pytest.fixture
def uri(tracked_workplace: Path) -> str:
    return store.default_store()


def sent(outbox: Outbox):
    return store.client(outbox.begin["uri"]).get_run(outbox.progress.run_id)


def filled(writer: Writer) -> Outbox:
    writer.write("params", values={"lr": "0.1"})
    for step in (1, 2, 3):
        writer.write_metrics({"loss": 1 / step, "nan": float("nan")}, step)
    writer.write("input", name="sample", digest="d" * 40, source="data", context="training")
    writer.write_file(Path("params.yaml"), "")
    writer.write("tags", values={"best": "3"})
    writer.write("status", status="FINISHED")
    return writer.outbox


def test_a_run_arrives_as_it_was_logged(uri: str):
    outbox = filled(begin())
    operations = [operation for operation, _ in outbox.operations()]
    send(outbox, uri)
    run = sent(outbox)
    assert (run.info.run_name, run.info.status) == ("pretrain", "FINISHED")
    assert (run.info.start_time, run.info.end_time) == (operations[0]["time"], operations[-1]["time"])
    assert run.data.params == {"lr": "0.1"}
    assert (run.data.tags["best"], run.data.tags[store.MARK]) == ("3", outbox.name)
    assert history(outbox, "loss") == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert run.inputs.dataset_inputs[0].dataset.digest == "d" * 36
    assert [item.path for item in store.client(outbox.begin["uri"]).list_artifacts(run.info.run_id)] == ["params.yaml"]
    assert (outbox.pending, list((outbox.place / "files").iterdir())) == ([], [])


@pytest.mark.parametrize("killed_at", range(1, 8))
def test_killed_between_sending_and_noting_nothing_is_doubled(
    uri: str, monkeypatch: pytest.MonkeyPatch, killed_at: int
):
    outbox, notes, note = filled(begin()), 0, Outbox.note

    def killed(self: Outbox, progress: Progress) -> None:
        nonlocal notes
        notes += 1
        if notes == killed_at:
            raise KeyboardInterrupt
        note(self, progress)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Outbox, "note", killed)
        send(outbox, uri)
    send(outbox, uri)
    _once(outbox)


def test_sent_again_from_the_start_nothing_is_doubled(uri: str):
    outbox = filled(begin())
    send(outbox, uri)
    run_id = outbox.progress.run_id
    outbox.note(Progress())
    send(outbox, uri)
    assert outbox.progress.run_id == run_id
    _once(outbox)


def _once(outbox: Outbox) -> None:
    client = store.client(outbox.begin["uri"])
    experiments = [one.experiment_id for one in client.search_experiments()]
    assert len(client.search_runs(experiments)) == 1
    assert [step for step, _ in history(outbox, "loss")] == [1, 2, 3]
    assert [step for step, _ in history(outbox, "nan")] == [1, 2, 3]
    assert len(sent(outbox).inputs.dataset_inputs) == 1
    assert sent(outbox).info.status == "FINISHED"
    assert [item.path for item in client.list_artifacts(outbox.progress.run_id)] == ["params.yaml"]


def test_more_than_a_batch_of_metrics_and_parameters_arrives(uri: str):
    writer = begin()
    writer.write("params", values={f"p{number}": "x" * 7000 for number in range(230)})
    for step in range(3):
        writer.write_metrics({f"m{number}": float(step) for number in range(800)}, step)
    send(writer.outbox, uri)
    run = sent(writer.outbox)
    assert (len(run.data.params), len(run.data.metrics)) == (230, 800)
    assert {len(value) for value in run.data.params.values()} == {6000}
    assert [step for step, _ in history(writer.outbox, "m799")] == [0, 1, 2]


def test_what_is_refused_is_set_aside_and_named_and_the_rest_goes_on(uri: str, caplog: pytest.LogCaptureFixture):
    writer = begin()
    writer.write("params", values={"a": "1", "b?!$": "2", "c": "3"})
    writer.write_metrics({"x": 1.0, "bad$": 2.0, "y": 3.0}, 1)
    writer.write_metrics({"x": 2.0}, 2)
    writer.write("tags", values={"fine": "1"})
    send(writer.outbox, uri)
    run = sent(writer.outbox)
    assert (run.data.params, run.data.metrics) == ({"a": "1", "c": "3"}, {"x": 2.0, "y": 3.0})
    assert run.data.tags["fine"] == "1"
    assert [list(operation["values"]) for operation in writer.outbox.refused] == [["b?!$"], ["bad$"]]
    assert all("Names may only contain" in operation["why"] for operation in writer.outbox.refused)
    assert "refuses parameter b?!$" in caplog.text
    assert "refuses metric bad$ of step 1" in caplog.text
    assert writer.outbox.pending == []


def test_a_deleted_run_is_begun_anew_with_all_that_is_known(uri: str):
    writer = begin()
    writer.write_metrics({"loss": 1.0}, 1)
    send(writer.outbox, uri)
    first = writer.outbox.progress.run_id
    store.client(uri).delete_run(first)
    writer.write_metrics({"loss": 0.5}, 2)
    send(writer.outbox, uri)
    assert writer.outbox.progress.run_id != first
    assert history(writer.outbox, "loss") == [(1, 1.0), (2, 0.5)]


def test_the_parent_is_the_newest_run_that_made_what_is_read(uri: str):
    made = []
    for output in ("a", "b", "a"):
        writer = begin("project")
        writer.write("tags", values={"output_hash": output})
        send(writer.outbox, uri)
        made.append(writer.outbox.progress.run_id)
    parents = []
    for read in ("a", "b", "c"):
        reader = begin("pretrain", input_hash=read)
        send(reader.outbox, uri)
        tags = sent(reader.outbox).data.tags
        parents.append((tags["input_hash"], tags.get("mlflow.parentRunId")))
    assert parents == [("a", made[2]), ("b", made[1]), ("c", None)]


def test_a_child_waits_for_the_run_above_it(uri: str):
    above, below = begin("sweep"), begin("trial 0", above="replaced")
    child = begin("trial 1", above=above.outbox.name)
    with pytest.raises(sending.ParentWaitsError):
        send(child.outbox, uri)
    assert send_all(uri, 5) == {}
    assert sent(child.outbox).data.tags["mlflow.parentRunId"] == above.outbox.progress.run_id
    assert "mlflow.parentRunId" not in sent(below.outbox).data.tags  # of a run that is nowhere any more


def test_a_run_that_cannot_be_sent_does_not_hold_up_others(uri: str, monkeypatch: pytest.MonkeyPatch):
    bad, good = begin(), begin()
    bad.write("tags", values={"stuck": "1"})
    good.write("tags", values={"fine": "1"})
    plain = store.log_tags

    def log_tags(uri: str, run_id: str, tags: dict[str, str]) -> None:
        if "stuck" in tags:
            raise RuntimeError("INTERNAL_ERROR")
        plain(uri, run_id, tags)

    with monkeypatch.context() as patch:
        patch.setattr(store, "log_tags", log_tags)
        failed = send_all(uri, 5)
    assert list(failed) == [bad.outbox.name]
    assert (len(bad.outbox.pending), good.outbox.pending) == (1, [])
    assert send_all(uri, 5) == {}
    assert sent(bad.outbox).data.tags["stuck"] == "1"


def test_outboxes_of_another_store_are_left_alone(uri: str):
    other = begin(uri="http://127.0.0.1:1")
    assert send_all(uri, 5) == {}
    assert len(other.outbox.pending) == 1


def test_an_outbox_is_for_a_store_whatever_the_password(uri: str):
    outbox = begin(uri="http://me:old@127.0.0.1:1").outbox
    assert outbox.is_for("http://me:new@127.0.0.1:1")
    assert not outbox.is_for(uri)


def test_a_last_word_is_told_from_an_outage():
    from mlflow.exceptions import MlflowException, RestException

    def status(code: int) -> requests.HTTPError:
        response = requests.Response()
        response.status_code = code
        return requests.HTTPError("x", response=response)

    last = [MlflowException.invalid_parameter_value("x"), RestException({"error_code": "RESOURCE_DOES_NOT_EXIST"})]
    assert all(store.refuses(error) for error in (*last, status(400), status(413)))
    codes = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "PERMISSION_DENIED")
    passing = [RestException({"error_code": code}) for code in codes]
    others = (status(500), status(503), status(401), status(429), requests.ConnectionError(), OSError(28, "full"))
    assert not any(store.refuses(error) for error in (*passing, *others))


def test_operations_are_described_for_a_person(uri: str):
    outbox = filled(begin())
    expected = "the run itself, parameter lr, data set sample, params.yaml, tags best, status FINISHED"
    assert described(outbox.pending) == f"{expected}, metrics of step 1 to 3"
