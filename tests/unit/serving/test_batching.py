"""Windows of several requests go through the network together, and each gets its own back."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from mixste.lifter import Lifter
from mixste.models import packed
from pipelines.serving.batching import Batcher, Together
from tests.unit.lifters import SIZE, lifter, person


class Slow:
    """Doubles windows, remembers the sizes of the batches it was given, and waits in the first until it is let go."""

    def __init__(self, fails=lambda windows: False):
        self.sizes, self.begun, self.go, self.fails = [], threading.Event(), threading.Event(), fails

    def __call__(self, windows):
        self.sizes.append(len(windows))
        self.begun.set()
        assert self.go.wait(10)
        if self.fails(windows):
            raise RuntimeError("no network")
        return 2 * windows


def sent(batcher, run, *sizes):
    """Results of callers with so many windows each: the first has the network while the others come, in order."""
    with ThreadPoolExecutor(len(sizes)) as threads:
        futures = []
        for number, size in enumerate(sizes):
            futures.append(threads.submit(batcher, torch.full((size, 2), float(number))))
            assert run.begun.wait(10)
            until = time.monotonic() + 10
            while len(batcher._waiting) < number and time.monotonic() < until:
                time.sleep(0.001)
        run.go.set()
        return futures


def test_what_comes_while_the_network_runs_goes_together_in_order_up_to_the_most():
    run = Slow()
    futures = sent(Batcher(run, most=8), run, 1, 3, 4, 2, 5, 9)
    assert run.sizes == [1, 7, 7, 9]
    for number, (future, size) in enumerate(zip(futures, (1, 3, 4, 2, 5, 9), strict=True)):
        assert torch.equal(future.result(), torch.full((size, 2), 2.0 * number))


def test_one_that_the_network_fails_at_fails_alone():
    run = Slow(fails=lambda windows: bool((windows == 2).any()))
    batcher = Batcher(run, most=8)
    first, good, bad, other = sent(batcher, run, 1, 1, 1, 1)
    for number, future in ((0, first), (1, good), (3, other)):
        assert future.result().tolist() == [[2.0 * number] * 2]
    with pytest.raises(RuntimeError, match="no network"):
        bad.result()
    assert batcher.error is None
    assert run.sizes == [1, 3, 1, 1, 1]


def test_a_network_that_fails_is_known_until_it_works_again():
    fails = [True]
    run = Slow(fails=lambda windows: fails[0])
    run.go.set()
    batcher = Batcher(run, most=8)
    with pytest.raises(RuntimeError):
        batcher(torch.zeros(1))
    assert str(batcher.error) == "no network"
    fails[0] = False
    batcher(torch.zeros(1))
    assert batcher.error is None


@pytest.mark.parametrize("architecture", ["mixste", "stcformer"])
def test_requests_of_any_length_lifted_together_are_as_each_alone(architecture):
    settings = {} if architecture == "mixste" else {"architecture": architecture}
    own = lifter(**settings)
    together = Together(own.model, most=64, precision="fp32")
    shared = Lifter(together, own.config)
    clips = [person(frames, seed=frames) for frames in (1, 5, 9, 30, 77, 120)]
    given = {"skeleton": "h36m17", "image_size": SIZE}
    with ThreadPoolExecutor(len(clips)) as threads:
        lifted = list(threads.map(lambda clip: shared.lift(clip, fps=25 if len(clip) == 77 else 50, **given), clips))
    for clip, motion in zip(clips, lifted, strict=True):
        alone = own.lift(clip, fps=25 if len(clip) == 77 else 50, **given)
        np.testing.assert_allclose(motion.joints, alone.joints, atol=1e-5)


def test_a_packed_network_is_shared_and_not_packed_again(monkeypatch):
    monkeypatch.setattr(packed, "has_products", lambda precision: True)
    own = lifter(width=64)
    shared = Lifter(Together(own.model, most=64, precision="bf16"), own.config, precision="bf16")
    given = {"skeleton": "h36m17", "fps": 50, "image_size": SIZE}
    found, exact = shared.lift(person(30), **given), own.lift(person(30), **given)
    assert any(isinstance(module, packed.Bf16Linear) for module in shared.model.modules())
    assert 0 < abs(found.joints - exact.joints).max() < 0.1 * abs(exact.joints).max()
    assert "The model computed in bf16, which moves joints by a few millimetres." in found.report
