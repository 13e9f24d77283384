"""Seconds from a fresh process to 98 % of MNIST's test images: start, import, load, compile, train, evaluate.

python examples/benchmark_time_to_98.py --data DIR             fnn, fnn with a compilation cache, and PyTorch
python examples/benchmark_time_to_98.py --data DIR --rounds 5

Every run is a process of its own; the network is 784-256-10, 4 epochs of batches of 125, momentum 0.9 with warm-up and
decay, the same for all. DIR holds the four IDX files.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

EPOCHS, BATCH_SIZE, HIDDEN, RATE = 4, 125, 256, 0.3
WARMUP_SHARE = 0.1


def run_fnn(data: str, seed: int, precision: str) -> float:
    """Train with fnn; returns the share of right answers on the test images."""
    import jax

    import fnn

    train, test = fnn.datasets.mnist(data)
    steps = EPOCHS * -(-len(train.x) // BATCH_SIZE)
    layers = fnn.mlp(784, HIDDEN, 10, precision=precision).layer
    net = fnn.network(
        fnn.serial(fnn.rescale(1 / 255), fnn.flatten, layers), fnn.softmax_cross_entropy, input_shape=(28, 28)
    )
    result = fnn.fit(
        net,
        train,
        optimizer=fnn.momentum(fnn.warmup_cosine(RATE, int(WARMUP_SHARE * steps), steps)),
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        key=jax.random.key(seed),
        progress=False,
    )
    return fnn.evaluate(net, result.params, *test).accuracy or 0.0


def run_torch(data: str, seed: int) -> float:
    """The same in PyTorch, eager, as its users write it; no other library is imported."""
    import gzip
    import math
    from pathlib import Path

    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    def read(name: str, header: int) -> torch.Tensor:
        path = Path(data, name)
        raw = path.read_bytes() if path.exists() else gzip.decompress(Path(data, f"{name}.gz").read_bytes())
        return torch.frombuffer(bytearray(raw[header:]), dtype=torch.uint8)

    torch.manual_seed(seed)
    x, y = read("train-images-idx3-ubyte", 16).reshape(-1, 784), read("train-labels-idx1-ubyte", 8).long()
    model = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    nn.init.kaiming_normal_(model[0].weight, nonlinearity="relu")
    steps = EPOCHS * -(-len(x) // BATCH_SIZE)
    warmup = int(WARMUP_SHARE * steps)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda t: (
            (t + 1) / (warmup + 1) if t < warmup else (1 + math.cos(math.pi * (t - warmup) / (steps - warmup))) / 2
        ),
    )
    criterion = nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH_SIZE):
            loss = criterion(model(x[rows].float() / 255), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        answers = model(read("t10k-images-idx3-ubyte", 16).reshape(-1, 784).float() / 255).argmax(1)
    return (answers == read("t10k-labels-idx1-ubyte", 8)).float().mean().item()


def start(options: argparse.Namespace, name: str, seed: int, cache: str | None) -> tuple[float, float]:
    """Run one contender in a fresh process: (seconds from start to end, accuracy)."""
    command = [sys.executable, __file__, "--data", options.data, "--run", name, "--seed", str(seed)]
    began = time.perf_counter()
    done = subprocess.run(command + (["--cache", cache] if cache else []), check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return seconds, float(done.stdout.split()[-1])


def main() -> None:
    """Compare, or be one of the compared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="DIR", help="folder with the four MNIST files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="only say what would be run")
    parser.add_argument("--run", choices=["fnn", "fnn-bfloat16", "torch"], help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        if options.cache:
            import fnn

            fnn.use_compilation_cache(options.cache)
        if options.run == "torch":
            print(run_torch(options.data, options.seed))
        else:
            print(run_fnn(options.data, options.seed, "bfloat16" if options.run == "fnn-bfloat16" else "float32"))
        return
    if options.quick or options.data is None:
        print(f"{options.rounds} rounds of fnn, fnn with a compilation cache, and torch; --data DIR runs them")
        return
    with tempfile.TemporaryDirectory() as cache:
        contenders = {
            "torch eager": ("torch", None),
            "fnn": ("fnn", None),
            "fnn bfloat16": ("fnn-bfloat16", None),
            "fnn, compilation cache": ("fnn", cache),
            "fnn bfloat16, compilation cache": ("fnn-bfloat16", cache),
        }
        compare(options, contenders)


def compare(options: argparse.Namespace, contenders: dict[str, tuple[str, str | None]]) -> None:
    """Alternate the contenders, one unmeasured round first to fill caches, and print medians and ratios."""
    results: dict[str, list[tuple[float, float]]] = {}
    for number in range(-1, options.rounds):
        for name, (run, cache) in contenders.items():
            try:
                measured = start(options, run, max(number, 0), cache)
            except RuntimeError as error:
                if number < 0:
                    print(f"{name}: missing ({error})")
                continue
            if number >= 0:
                results.setdefault(name, []).append(measured)
    reference = statistics.median(seconds for seconds, _ in next(iter(results.values())))
    for name, runs in results.items():
        seconds = statistics.median(seconds for seconds, _ in runs)
        accuracies = ", ".join(f"{accuracy:.2%}" for _, accuracy in runs)
        print(f"{name:<34} {seconds:6.2f} s  {seconds / reference:.2f} ×  ({accuracies})")


if __name__ == "__main__":
    main()
