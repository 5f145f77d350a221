"""Files that could run code are read without running it."""

import io
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest

from mixste.errors import MixsteError
from mixste.files.restricted import read_npz, read_pickle

PLAIN = {
    "array": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.ones((2, 3), dtype=np.float32)),
    "objects": np.array([{"S1": b"\xff\x00"}, None, "text"], dtype=object),
    "text": np.array("male"),
    "numbers": [np.float32(1.5), np.int64(7), 3, 2**80, True, 1j],
    "containers": (OrderedDict(a=1), defaultdict(list, {"b": [2]}), {1, 2}, frozenset("x")),
}


class Calls:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_containers_are_read(tmp_path, protocol):
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(PLAIN, protocol=protocol))
    found = read_pickle(path)
    assert list(found) == list(PLAIN)
    for name in ("array", "fortran", "text"):
        np.testing.assert_array_equal(found[name], PLAIN[name])
        assert found[name].dtype == PLAIN[name].dtype
    assert found["objects"].tolist() == PLAIN["objects"].tolist()
    assert found["numbers"] == PLAIN["numbers"]
    assert found["containers"] == PLAIN["containers"]


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_arrays_of_old_and_new_numpy_are_read(tmp_path, module):
    path = tmp_path / "array.pkl"
    text = pickle.dumps(np.arange(3), protocol=0)
    path.write_bytes(text.replace(b"numpy._core.multiarray", module.encode()))
    np.testing.assert_array_equal(read_pickle(path), [0, 1, 2])


@pytest.mark.parametrize("kind", ["pkl", "npz"])
def test_what_would_run_code_is_refused_and_does_not_run(tmp_path, kind):
    path, touched = tmp_path / f"evil.{kind}", tmp_path / "touched"
    if kind == "pkl":
        path.write_bytes(pickle.dumps({"joints": [Calls(touched)]}))
        read = read_pickle
    else:
        np.savez(path, good=np.ones(3), evil=np.array([Calls(touched)], dtype=object))
        read = read_npz
    with pytest.raises(MixsteError, match=r"refused to read .*evil.*would call"):
        read(path)
    assert not touched.exists()


def test_no_other_codec_is_looked_up(tmp_path):
    path = tmp_path / "codec.pkl"
    path.write_bytes(b"c_codecs\nencode\n(Vabc\nVidna\ntR.")
    with pytest.raises(MixsteError, match="bytes as idna"):
        read_pickle(path)


def test_npz_gives_all_arrays_or_those_that_are_asked_for(tmp_path):
    path = tmp_path / "data.npz"
    positions = {"S1": {"Walking": np.ones((2, 3), dtype=np.float32)}}
    np.savez(path, positions_3d=np.array(positions, dtype=object), poses=np.asfortranarray(np.ones((2, 3))))
    found = read_npz(path)
    assert set(found) == {"positions_3d", "poses"}
    np.testing.assert_array_equal(found["positions_3d"].item()["S1"]["Walking"], 1)
    np.testing.assert_array_equal(found["poses"], np.ones((2, 3)))
    assert list(read_npz(path, ["poses"])) == ["poses"]


def test_objects_that_are_not_asked_for_are_not_looked_at(tmp_path):
    path = tmp_path / "mixed.npz"
    np.savez_compressed(path, good=np.ones(3), evil=np.array([Calls(tmp_path / "touched")], dtype=object))
    np.testing.assert_array_equal(read_npz(path, ["good"])["good"], 1)


def test_a_missing_key_is_named_with_those_there(tmp_path):
    np.savez(tmp_path / "data.npz", poses=np.ones(3))
    with pytest.raises(MixsteError, match=r"data.npz; found: no betas, trans among poses"):
        read_npz(tmp_path / "data.npz", ["trans", "betas", "poses"])


def test_damaged_and_absent_files_are_named(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, poses=np.ones(1000))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MixsteError, match=r"cannot read .*data.npz; found: BadZipFile"):
        read_npz(path)
    with pytest.raises(MixsteError, match=r"none.npz; found: No such file"):
        read_npz(tmp_path / "none.npz")
    (tmp_path / "short.pkl").write_bytes(pickle.dumps(PLAIN)[:-20])
    with pytest.raises(MixsteError, match=r"short.pkl"):
        read_pickle(tmp_path / "short.pkl")


def test_a_damaged_member_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    header = io.BytesIO()
    np.save(header, np.ones(100))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("poses.npy", header.getvalue()[:-8])
        archive.writestr("text.npy", b"not an array")
    for key in ("poses", "text"):
        with pytest.raises(MixsteError, match=r"cannot read .*data.npz"):
            read_npz(path, [key])
