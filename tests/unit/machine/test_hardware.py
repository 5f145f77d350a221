import time

import pytest
import torch

from mixste.errors import MixsteError
from mixste.machine.hardware import (
    WORTH_A_CORE,
    Stopwatch,
    enough_memory,
    memory_peak,
    peak_flops,
    refuse_without_compiler,
    threads_worth,
)
from mixste.recipe import Execution
from tests.unit.factories import trainer


def test_the_peak_of_memory_is_of_this_process_and_only_grows():
    before = memory_peak(torch.device("cpu"))
    held = bytearray(64 << 20)
    after = memory_peak(torch.device("cpu"))
    assert 0.01 < before <= after < 64
    assert len(held) == 64 << 20


def test_a_stopwatch_counts_what_runs_within_it_since_it_was_read():
    watch = Stopwatch(torch.device("cpu"))
    for _ in range(2):
        with watch:
            time.sleep(0.02)
    began = time.perf_counter()
    time.sleep(0.3)
    assert 0.04 <= watch.read() < 0.04 + time.perf_counter() - began
    assert watch.read() == 0


def test_a_cpu_promises_nothing():
    assert peak_flops(torch.device("cpu"), "bf16") is None


@pytest.mark.parametrize(
    ("name", "bf16", "fp32"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12, 67e12),
        ("NVIDIA H100 PCIe", 756e12, 51e12),
        ("NVIDIA H200", 989e12, 67e12),
        ("NVIDIA L40S", 362e12, 91.6e12),
        ("NVIDIA L4", 121e12, 30.3e12),
        ("some other", None, None),
    ],
)
def test_gpus_are_known_by_name(monkeypatch, name, bf16, fp32):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    device = torch.device("cuda", 0)
    assert peak_flops(device, "bf16") == (bf16 and pytest.approx(bf16))
    assert peak_flops(device, "fp32") == (fp32 and pytest.approx(fp32))


@pytest.mark.parametrize(("worth", "expected"), [(0.1, 1), (2.5, 2), (99, 3)])
def test_torch_works_on_the_threads_that_work_is_worth_and_then_on_all_again(worth, expected):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threads_worth(worth * WORTH_A_CORE):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("device", "variable", "compiler"), [("cpu", "CXX", "g++"), ("cuda", "CC", "gcc")])
def test_compiling_without_a_compiler_is_refused_before_anything_runs(
    monkeypatch, tmp_path, device, variable, compiler
):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(MixsteError, match=rf"cannot compile.*no {compiler[:3]}.*apt install.*cluster.compile=false"):
        refuse_without_compiler(torch.device(device))
    own = tmp_path / "mine"
    own.touch(0o755)
    monkeypatch.setenv(variable, str(own))
    refuse_without_compiler(torch.device(device))
    monkeypatch.delenv(variable)
    own.rename(tmp_path / compiler)
    refuse_without_compiler(torch.device(device))


def test_compiling_without_pythons_headers_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(MixsteError, match=r"cannot compile.*no .*Python.h on"):
        refuse_without_compiler(torch.device("cpu"))


def test_a_trainer_that_shall_compile_asks_for_a_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", "none")
    with pytest.raises(MixsteError, match="cannot compile the network; found: no none on"):
        trainer(execution=Execution(compile=True))


CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.65 GiB of which 1.20 GiB is "
    "free. Including non-PyTorch memory, this process has 22.43 GiB memory in use. If reserved memory is large try X."
)


def test_a_full_gpu_is_one_sentence_that_says_what_did_not_fit():
    message = (
        r"for 64 windows; found: CUDA out of memory\. Tried .* 23\.65 GiB of which 1\.20 GiB is free; to mend it: less$"
    )
    with pytest.raises(MixsteError, match=message), enough_memory("64 windows", "less"):
        raise torch.OutOfMemoryError(CUDA)


@pytest.mark.parametrize(
    "error",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "Triton Error [CUDA]: out of memory",
    ],
)
def test_a_gpu_that_others_have_filled_is_one_sentence(error):
    with pytest.raises(MixsteError, match="memory is too small for that"), enough_memory("that", "less"):
        raise RuntimeError(error)


def test_a_machine_without_so_much_memory_is_one_sentence():
    with pytest.raises(MixsteError, match="memory is too small for that"), enough_memory("that", "less"):
        torch.empty(2**60)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shape"), enough_memory("that", "less"):
        torch.empty(2).view(3)
