import os

os.environ.setdefault("NPROC", "4")  # two CPU devices starve the default thread pool of a two-core machine
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled_programs():
    """Two thousand tests compile more programs than memory should hold."""
    yield
    jax.clear_caches()
