"""How much the compiler does: little for the suite, where mathematics is compared, and all of it where its work counts.

The suite compiles some thousand small programs and runs each of them once, so what it costs is compiling. `FLAGS` and
`jax_disable_most_optimizations` (see conftest.py) take three quarters of that away; a program with the options `WHOLE`
is compiled as users' programs are.
"""

from importlib.metadata import version

# From 0.11 on there is one way to emit loops, and no flag for the quicker one.
KNOWN = tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11)
FLAGS = "--xla_cpu_parallel_codegen_split_count=1" + (" --xla_cpu_use_fusion_emitters=false" if KNOWN else "")
WHOLE = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_parallel_codegen_split_count": 32,
} | ({"xla_cpu_use_fusion_emitters": True} if KNOWN else {})
