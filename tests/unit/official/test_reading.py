"""Checkpoints are read without running what they hold, or refused with one clear error."""

import os
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from mixste.errors import MixsteError
from mixste.official.reading import _Inert, read_weights, sha256
from tests.unit.official import layouts

WEIGHTS = {"head.1.weight": torch.ones(3, 2), "head.1.bias": torch.arange(3.0)}


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class OldRandomState:
    """Pickles as a RandomState does by numpy 1.16, or by 1.17 to 1.23."""

    def __init__(self, version):
        self.version = version

    def __reduce__(self):
        state = np.random.RandomState(1234)
        if self.version == 16:
            return getattr(np.random, "__RandomState_ctor"), (), state.get_state()
        constructor = getattr(np.random._pickle, "__randomstate_ctor")
        return constructor, ("MT19937",), state.get_state(legacy=False)


def with_old_module_names(path):
    """Rename numpy's inner modules in the pickle of a file of torch.save to those of numpy 1."""
    renamed = path.with_suffix(".old")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(renamed, "w") as target:
        for item in source.infolist():
            target.writestr(item.filename, source.read(item).replace(b"numpy._core.", b"numpy.core."))
    return renamed


def same(weights):
    return weights.keys() == WEIGHTS.keys() and all(torch.equal(weights[key], WEIGHTS[key]) for key in WEIGHTS)


def refused(path, **options):
    with pytest.raises(MixsteError) as error:
        read_weights(path, **options)
    return str(error.value)


def test_bare_states_and_mixstes_wrapped_ones_are_read_with_and_without_module(tmp_path):
    assert same(read_weights(layouts.save_bare(tmp_path / "a.pth", WEIGHTS)))
    assert same(read_weights(layouts.save_bare(tmp_path / "b.pth", WEIGHTS, "module.")))
    assert same(read_weights(layouts.save_mixste(tmp_path / "c.bin", WEIGHTS)))


def test_old_files_of_torch_are_read(tmp_path):
    torch.save(
        {"random_state": np.random.RandomState(1), "model_pos": WEIGHTS},
        tmp_path / "a",
        _use_new_zipfile_serialization=False,
    )
    assert same(read_weights(tmp_path / "a"))


def test_no_object_of_numpy_is_made_of_a_random_state(tmp_path, monkeypatch):
    path, made = layouts.save_mixste(tmp_path / "a.bin", WEIGHTS), []
    monkeypatch.setattr(_Inert, "__init__", lambda self, *arguments: made.append(arguments))
    for name in ("__randomstate_ctor", "__bit_generator_ctor"):
        monkeypatch.delattr(np.random._pickle, name)
    assert same(read_weights(path))
    assert len(made) > 3


@pytest.mark.parametrize("version", [16, 17])
def test_random_states_of_older_numpys_are_passed_over(tmp_path, version):
    torch.save({"random_state": OldRandomState(version), "model_pos": WEIGHTS}, tmp_path / "a.bin")
    assert same(read_weights(with_old_module_names(tmp_path / "a.bin")))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_unless_trusted(tmp_path, zipped):
    state = {"model_pos": WEIGHTS, "more": Trap(tmp_path / "sprung")}
    torch.save(state, tmp_path / "a.bin", _use_new_zipfile_serialization=zipped)
    message = refused(tmp_path / "a.bin")
    assert "would run code on loading; found: posix.mkdir" in message
    assert "--trust" in message
    assert not (tmp_path / "sprung").exists()
    assert same(read_weights(tmp_path / "a.bin", trust=True))
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("builtin", [eval, len])  # not print, which Ray replaces
def test_a_builtin_is_code_too(tmp_path, builtin):
    torch.save({"model_pos": WEIGHTS, "more": builtin}, tmp_path / "a.bin")
    message = refused(tmp_path / "a.bin")
    assert re.search(rf"would run code on loading; found: (builtins\.|__builtin__\.)?{builtin.__name__};", message)


def test_a_whole_pickled_module_is_refused_as_code(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "a.pth")
    assert "would run code on loading; found: torch.nn.modules.linear.Linear" in refused(tmp_path / "a.pth")
    assert "holds no weights; found: Linear" in refused(tmp_path / "a.pth", trust=True)


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path):
    for zipped in (True, False):
        torch.save({key: torch.ones(500) for key in "abc"}, tmp_path / "whole", _use_new_zipfile_serialization=zipped)
        whole = (tmp_path / "whole").read_bytes()
        for length in (0, 1, 10, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1):
            (tmp_path / "cut").write_bytes(whole[:length])
            assert "not a whole file of torch.save" in refused(tmp_path / "cut"), (zipped, length)


@pytest.mark.parametrize(
    "content", [b"weights", b"PK\x03\x04" + bytes(60), b"\x93NUMPY\x01\x00", pickle.dumps([1, 2], 2)]
)
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    assert str(tmp_path / "a.pth") in refused(tmp_path / "a.pth")
    assert "a.pth" in refused(tmp_path / "a.pth", trust=True)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_flipped_bit_is_found_wherever_a_checksum_stands(tmp_path, zipped):
    """Old files have none: there a weight may be another number, and only what is no number is found."""
    torch.save({"a": torch.ones(5000)}, tmp_path / "whole", _use_new_zipfile_serialization=zipped)
    content = bytearray((tmp_path / "whole").read_bytes())
    content[content.index(torch.ones(50).numpy().tobytes()) + 100] ^= 1
    (tmp_path / "flipped").write_bytes(content)
    if zipped:
        assert "data/0 is not what was written" in refused(tmp_path / "flipped")
        assert "data/0 is not what was written" in refused(tmp_path / "flipped", trust=True)
    else:
        assert not torch.equal(read_weights(tmp_path / "flipped")["a"], torch.ones(5000))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([1, 2], "list"),
        ({}, "an empty dictionary"),
        ({"model_pos": {}}, "an empty dictionary"),
        ({"a": 1}, "a (int)"),
        ({"model_pos": {"a": torch.ones(1), "b": 3}}, "a dictionary of 2, among them b (int)"),
        (torch.ones(2), "Tensor"),
        ({1: torch.ones(2)}, "1 (strided of float32 on cpu)"),
        ({"a": torch.ones(2).to_sparse()}, "a (sparse_coo of float32 on cpu)"),
        ({"a": torch.ones(2, device="meta")}, "a (strided of float32 on meta)"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "a (strided of complex64 on cpu)"),
    ],
)
def test_a_file_without_weights_is_refused_with_what_it_holds(tmp_path, content, found):
    torch.save(content, tmp_path / "a.pth")
    message = refused(tmp_path / "a.pth")
    assert "holds no weights" in message
    assert f"{found}; expected" in message


def test_no_file_and_a_folder_are_refused(tmp_path):
    assert "no such file" in refused(tmp_path / "a.pth")
    assert "a folder" in refused(tmp_path)


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


@pytest.mark.parametrize(
    ("name", "found"), [("a.onnx", "exported for other programs"), ("b.NPZ", "as motion and keypoints are")]
)
def test_a_file_of_another_kind_is_named_as_that(tmp_path, name, found):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(MixsteError, match=f"holds no weights.*{found}; expected: a model folder"):
        read_weights(tmp_path / name)
