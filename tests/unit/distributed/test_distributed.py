import signal

import pytest

from pipelines.distributed import interruptible


def test_a_process_that_ray_ends_was_interrupted_and_the_next_signal_is_ours_again():
    before = signal.getsignal(signal.SIGINT)

    def ends(*_: object) -> None:  # as Ray Train's handler does
        raise SystemExit(1)

    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.signal(signal.SIGINT, ends)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_else_ends_a_training_is_left_as_it_is():
    with pytest.raises(OSError, match="full"), interruptible():
        raise OSError("full")
