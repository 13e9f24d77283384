import gc
import math
import os

from compiler import FLAGS

os.environ.setdefault("NPROC", "4")  # two CPU devices starve the default thread pool of a two-core machine
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=2", FLAGS])

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_disable_most_optimizations", True)

collect_ignore = ["eight_devices.py", "two_processes.py"]  # they are run in processes with devices of their own
SLOWEST = "test_examples", "test_mistakes"


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def compilations():
    """A function that says how many programs were compiled since it was called last."""
    counted = [0]

    def count(event, duration, **_):
        counted[0] += event == "/jax/core/compile/backend_compile_duration"

    def since():
        number, counted[0] = counted[0], 0
        return number

    jax.monitoring.register_event_duration_secs_listener(count)
    yield since
    jax.monitoring.unregister_event_duration_listener(count)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """Some thousand tests compile more programs than memory should hold."""
    yield
    if memory() > 2**31:
        jax.clear_caches()


def memory():
    """Bytes that this process holds; where the system does not tell, more than it should."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return math.inf


def pytest_collection_modifyitems(items):
    """What takes longest starts first, so that one process does not wait long for the other."""
    items.sort(key=lambda item: item.path.stem not in SLOWEST)


def pytest_collection_finish():
    """What was imported stays: the garbage collector need not look through it again and again."""
    gc.freeze()
