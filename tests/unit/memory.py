"""The most memory that numpy and Arrow hold while something runs."""

import tracemalloc
from collections.abc import Callable

import pyarrow as pa


def peak(function: Callable[[], object]) -> int:
    """Return the peak in bytes, above what was held before."""
    default = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(default)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1] + pool.max_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(default)
