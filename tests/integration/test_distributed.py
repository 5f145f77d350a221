import os
import signal
import time

import pytest
import torch
from pyarrow import fs

from benchmarks.drills.object_store import object_store
from mixste.errors import MixsteError
from mixste.training import Trainer
from mixste.training.jobs import TrainingJob
from mixste.training.state import FILE, kept_weights, read_state
from pipelines import distributed
from pipelines.distributed import lookout, patience
from pipelines.distributed.claims import CLAIM
from pipelines.distributed.storage import open_storage
from pipelines.distributed.worker import train_loop
from tests.unit.factories import (
    CPU,
    FPS,
    SKELETON,
    TIMINGS,
    cluster_settings,
    model_settings,
    optimiser_settings,
    pretrain_settings,
    sequences,
    write_projections,
)

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture
def job(tmp_path):
    training = pretrain_settings(batch_size=5, validation_windows=3, optimiser=optimiser_settings(lr=1e-3))
    paths = [write_projections(tmp_path / f"sample-{n}.parquet", sequences((30, 21, 5), seed=n)) for n in range(2)]
    return TrainingJob(
        model=model_settings(drop_path=0.0),
        training=training,
        train=(paths[0],),
        validation=(paths[1],),
        skeleton=SKELETON,
        fps=FPS,
        seed=0,
    )


def run(loop, config, folder, **settings):
    """Train on the cluster; return the checkpoint's folder and the records in the order of their arrival."""
    records = []
    chosen = cluster_settings(**{"storage": str(folder.parent), **settings})
    checkpoint = distributed.train(
        loop, config, folder=folder, settings=chosen, on_records=lambda new, trained: records.extend(new)
    )
    return checkpoint, records


def alone(job) -> Trainer:
    """The same training in this process, without Ray."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trainer = job.trainer(device=CPU)
    list(trainer.epochs())
    torch.set_num_threads(threads)
    return trainer


def curve(records):
    return [{key: value for key, value in record.items() if key not in TIMINGS} for record in records]


@pytest.mark.parametrize("wanted", [{"workers": 9999}, {"cpus_per_worker": 9999}, {"gpus_per_worker": 64}])
def test_a_cluster_that_is_too_small_is_refused_before_anything_runs(job, tmp_path, wanted):
    with pytest.raises(MixsteError, match=r"too small.*(9999|64).*to mend it: lower cluster\."):
        run(train_loop, {"job": job}, tmp_path / "run", **wanted)
    assert not (tmp_path / "run").exists()


def test_a_training_that_waits_for_what_others_use_says_so_until_it_begins(monkeypatch, caplog):
    import ray

    monkeypatch.setattr(lookout, "LOOK_S", 0.5)
    monkeypatch.setattr(lookout, "BUSY_S", 0.2)
    mailbox = ray.remote(num_cpus=0)(distributed._Mailbox).remote()
    assert not ray.get(mailbox.has_begun.remote())

    def told(seconds):
        caplog.clear()
        with lookout.told_of_machines(cluster_settings(), {"CPU": 1}, mailbox, resumes=False):
            time.sleep(seconds)
        return "no worker has begun: each takes 1 CPU (" in caplog.text

    assert told(2.0)
    assert ray.get(mailbox.begin.remote()) is None
    assert not told(2.0)


@pytest.fixture
def two_attempts(monkeypatch):
    """One failure is made good, a second one without an epoch between them is not."""
    monkeypatch.setattr(patience, "ATTEMPTS", 2)


def test_each_failure_is_made_good_until_an_epoch_fails_twice_and_then_the_next_start_ends_in_the_same_weights(
    job, tmp_path, two_attempts
):
    for fuse in ("0-a", "1-a", "2-a", "2-b"):
        (tmp_path / f"fuse-{fuse}").touch()
    folder = str(tmp_path)

    def fails(config):
        import pathlib

        from mixste.training import Trainer
        from pipelines.distributed.worker import train_loop

        plain = Trainer.validate

        def validate(self):
            for fuse in pathlib.Path(folder).glob(f"fuse-{self.state.epoch}-*"):
                fuse.unlink()
                raise RuntimeError("the machine went away")
            return plain(self)

        Trainer.validate = validate
        try:
            train_loop(config)
        finally:
            Trainer.validate = plain

    with pytest.raises(Exception, match="the machine went away"):
        run(fails, {"job": job}, tmp_path / "run")
    assert not list(tmp_path.glob("fuse-*")), "no failure but the second in one epoch ends it"
    checkpoint, records = run(train_loop, {"job": job}, tmp_path / "run")
    expected = alone(job)
    assert read_state(checkpoint) == expected.state
    assert curve(records) == expected.state.history
    found = kept_weights(checkpoint)
    assert found.keys() == expected.kept.keys()
    assert all(torch.equal(found[name], expected.kept[name]) for name in found)


def two_epochs():
    """The training loop that ends after two epochs, as one that is stopped; Ray's workers know no module of tests."""

    def stopped(config):
        import itertools

        from mixste.training import Trainer
        from pipelines.distributed.worker import train_loop

        plain = Trainer.epochs
        Trainer.epochs = lambda self: itertools.islice(plain(self), 2)
        try:
            train_loop(config)
        finally:
            Trainer.epochs = plain

    return stopped


def test_a_controller_that_dies_ends_a_training_in_one_sentence(job, tmp_path, monkeypatch):
    def fit(*_):
        import ray

        ray.get(ray.remote(_Dying).remote().end.remote())

    with monkeypatch.context() as patch:
        patch.setattr(distributed, "_fit", fit)
        with pytest.raises(MixsteError, match=r"Ray lost a part .*ActorDiedError: The actor died.*the same command"):
            run(train_loop, {"job": job}, tmp_path / "run")


class _Dying:
    def end(self):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_disk_that_is_full_for_one_of_two_workers_ends_both(job, tmp_path):
    def full_disk(config):
        import errno

        from pipelines.distributed import worker

        def save_training(folder, trainer):
            raise OSError(errno.ENOSPC, "no space left on device")

        plain, worker.save_training = worker.save_training, save_training
        try:
            worker.train_loop(config)
        finally:
            worker.save_training = plain

    with pytest.raises(MixsteError, match=r"no space left on the device.*free some space"):
        run(full_disk, {"job": job}, tmp_path / "run", workers=2)


def test_two_workers_give_the_curve_of_one_which_goes_on_from_an_object_store_in_another_checkout(job, tmp_path):
    with object_store() as store:
        storage = store.uri()
        place = open_storage(storage).below("run")
        left, first = run(two_epochs(), {"job": job}, tmp_path / "here" / "run", storage=storage, workers=2)
        _, stored = max(place.whole())
        assert place.files.open_input_file(stored).read() == (left / FILE).read_bytes()
        checkpoint, second = run(train_loop, {"job": job}, tmp_path / "there" / "run", storage=storage)
        assert max(place.whole())[0] == 3
        assert place.files.get_file_info(f"{place.path}/{CLAIM}").type == fs.FileType.NotFound
    assert [[record["epoch"] for record in records] for records in (first, second)] == [[1, 2], [1, 2, 3]]
    assert curve(second)[:2] == curve(first), "what went before is told again, as it was"
    for two, one in zip(curve(second), alone(job).state.history, strict=True):
        assert two == pytest.approx(one, rel=1e-3)
    assert read_state(checkpoint).history == curve(second)


@pytest.mark.parametrize(
    ("refusing", "bucket", "why"), [(False, "nowhere", "make the bucket"), (True, "mixste", "DENIED")]
)
def test_an_object_store_that_refuses_is_named_before_anything_runs(job, tmp_path, refusing, bucket, why):
    with (
        object_store(refusing=refusing) as store,
        pytest.raises(MixsteError, match=rf"s3://{bucket}/.*{why}"),
    ):
        run(train_loop, {"job": job}, tmp_path / "run", storage=store.uri(bucket))
