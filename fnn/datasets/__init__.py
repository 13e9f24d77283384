"""Data sets: real digits that come with the package, and small ones generated from a key."""

from fnn.datasets import idx as idx
from fnn.datasets.digits import mnist as mnist
from fnn.datasets.examples import Examples as Examples
from fnn.datasets.synthetic import blobs as blobs
from fnn.datasets.synthetic import circles as circles
from fnn.datasets.synthetic import moons as moons
from fnn.datasets.synthetic import spirals as spirals
from fnn.datasets.synthetic import xor as xor
