import json
import time

import pytest
from pyarrow import fs

from mixste.errors import MixsteError
from mixste.training.state import FILE
from pipelines.distributed import storage
from pipelines.distributed.storage import Storage, open_storage, within


@pytest.fixture(params=["folder", "store"])
def place(request, tmp_path):
    """A folder, and a store that is none."""
    uri = str(tmp_path) if request.param == "folder" else "fsspec+memory:///bucket"
    files = open_storage(uri).below("training")
    files.files.create_dir(files.path, recursive=True)
    yield files
    files.files.delete_dir(files.path)


def put(place: Storage, folder: str, epoch: int, *, cut: int = 0) -> None:
    """Write a checkpoint's file into a folder of the storage, without its last bytes."""
    progress = {"progress": json.dumps({"epoch": epoch})}
    header = json.dumps({"__metadata__": progress, "w": {"data_offsets": [0, 4]}}).encode()
    data = len(header).to_bytes(8, "little") + header + b"1234"
    place.files.create_dir(f"{place.path}/{folder}", recursive=True)
    with place.files.open_output_stream(f"{place.path}/{folder}/{FILE}") as file:
        file.write(data[: len(data) - cut])


def files(place: Storage) -> list[str]:
    infos = place.files.get_file_info(fs.FileSelector(place.path, recursive=True))
    return [info.path.removeprefix(place.path).lstrip("/") for info in infos if info.is_file]


def test_a_first_start_has_nothing_to_go_on_from(place):
    new, start = place.begin()
    assert start is None
    assert new.path.startswith(place.path)


def test_a_start_goes_on_from_the_whole_checkpoint_of_most_epochs_and_removes_the_rest(place):
    put(place, "checkpoints/try-1/checkpoint_a", 9)
    put(place, "checkpoints/try-1/checkpoint_b", 10)
    put(place, "checkpoints/try-1/checkpoint_c", 11, cut=1)
    new, start = place.begin()
    assert [epochs for epochs, _ in place.whole()] == [10]
    assert files(place) == [f"{start.removeprefix(place.path).lstrip('/')}/{FILE}"]
    assert start.startswith(new.path)


def test_what_is_cut_off_anywhere_is_not_whole(place):
    for cut in range(1, 60, 7):
        put(place, f"checkpoints/{cut}", 3, cut=cut)
    assert place.whole() == []


def test_what_a_killed_starts_workers_still_write_is_not_in_the_next_starts_folder(place):
    old, _ = place.begin()
    new, _ = place.begin()
    name = old.path.rsplit("/", 1)[1]
    put(place, f"checkpoints/{name}/checkpoint_late", 5)
    assert name not in new.path
    assert new.whole() == []


def test_starts_that_are_killed_before_their_first_epoch_lose_nothing(place):
    put(place, "checkpoints/try-1/checkpoint_a", 4)
    for _ in range(3):
        place.begin()
    assert [epochs for epochs, _ in place.whole()] == [4]


def test_a_storage_that_can_be_written_is_left_as_it_was(place):
    place.check()
    assert files(place) == []


@pytest.mark.parametrize(
    ("uri", "found"),
    [("nowhere://bucket", "nowhere"), ("s3://", "s3"), ("fsspec+none://x", "none"), ("s3://b?connect=1", "connect")],
)
def test_a_uri_that_cannot_be_opened_is_refused(uri, found):
    with pytest.raises(MixsteError, match=rf"cannot open the storage.*{found}.*cluster\.storage"):
        open_storage(uri)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "no space left on device"), r"no space left on the device.*free some space"),
        (OSError("AWS Error ACCESS_DENIED during PutObject operation"), "ACCESS_DENIED.*AWS_ACCESS_KEY_ID"),
        (OSError("Bucket 'b' not found. To create buckets, enable"), "make the bucket"),
        (OSError("AWS Error NETWORK_CONNECTION"), "goes on from its last checkpoint"),
        (TimeoutError("no answer within 30 seconds"), "no answer.*goes on from its last checkpoint"),
    ],
)
def test_a_refusal_says_what_was_found_and_how_to_mend_it(error, message):
    with pytest.raises(MixsteError, match=message):
        raise Storage("s3://b/mixste", None, "b/mixste").refusal(error)


def test_an_error_of_something_else_stays_what_it_is():
    error = FileNotFoundError(2, "no such file", "data.parquet")
    assert Storage("runs", None, "/runs").refusal(error) is error


def test_a_storage_that_does_not_answer_is_not_waited_for(monkeypatch, tmp_path):
    class Silent:
        def create_dir(self, path, recursive):
            time.sleep(5)

    monkeypatch.setattr(storage, "ANSWER_S", 0.1)
    with pytest.raises(MixsteError, match=r"cannot write to the storage s3://b.*no answer within"):
        Storage("s3://b", Silent(), "b").check()


def test_an_error_within_the_time_is_raised():
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0)
