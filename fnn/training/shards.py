"""Shards: which rows of a data set each step of an epoch takes, where many devices hold them.

A step computes on a batch; who computes which part of it is XLA's business: data spread over the devices of a mesh,
parameters that every device holds, and the compiler splits the products by rows and adds the devices' shares of loss
and gradient up in one reduction. Two things it cannot know, and they stand here. **Shuffling must not move data**: the
rows are dealt out once, to logical shards of equal length, 8 unless told otherwise; each shard shuffles its own rows
with a key of its own, and each step takes equally many rows of every shard. So a device that holds some shards gathers
its part of a batch from its own memory. **The numbers must not depend on the devices**: shards are part of the run, the
devices that hold them are not. One device goes through the same shards, and a batch has the same rows in the same order
on any number of devices, up to as many as there are shards. Data of which nobody has said where they lie, `Whole`, are
one shard.

Rows that don't divide are followed by rows of weight 0, which count in no loss and no gradient.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from fnn.storage.processes import laid_at
from fnn.training.shuffling import permutation

SHARDS = 8
Tree = TypeVar("Tree")


class Whole(NamedTuple):
    """All rows in one shard, wherever they are."""

    def rows_a_step(self, batch_size: int) -> int:
        """Rows of the order that a step takes.

        Args:
            batch_size: examples a step.
        """
        return batch_size

    def order(self, key: jax.Array, n: int) -> jax.Array:
        """Shuffle: row numbers, (n,).

        Args:
            key: random key.
            n: number of rows.
        """
        return permutation(key, n)

    def take(self, array: jax.Array, rows: jax.Array) -> jax.Array:
        """The rows of an array with these numbers.

        Args:
            array: (n, ...).
            rows: row numbers, (k,).
        """
        return array[rows]

    def numbers(self, rows: np.ndarray, n: int) -> np.ndarray:
        """Row numbers in the whole data set.

        Args:
            rows: part of an order.
            n: number of rows.
        """
        return rows

    def hold(self, tree: Tree) -> Tree:
        """The tree, to stay where it lies.

        Args:
            tree: what a step has made of what was there before.
        """
        return tree


class Shards(NamedTuple):
    """Rows in logical shards, one behind the other, which the devices along an axis of a mesh hold in equal parts."""

    mesh: Mesh  # its axes are automatic
    axis: str
    number: int
    held: tuple[PartitionSpec, ...] = ()  # how each leaf of the train state lies

    @property
    def rows(self) -> NamedSharding:
        """How arrays lie whose rows are examples."""
        return NamedSharding(self.mesh, PartitionSpec(self.axis))

    @property
    def everywhere(self) -> NamedSharding:
        """How arrays lie that every device holds."""
        return NamedSharding(self.mesh, PartitionSpec())

    def rows_a_step(self, batch_size: int) -> int:
        """Rows of the order that a step takes, one of each shard.

        Args:
            batch_size: examples a step, a multiple of the shards.
        """
        return batch_size // self.number

    def order(self, key: jax.Array, n: int) -> jax.Array:
        """Shuffle each shard: row numbers within the shards, (n / count, count).

        Args:
            key: random key; shard s has fold_in(key, s).
            n: number of rows.
        """
        own = partial(permutation, n=n // self.number)

        def shuffled(shards: jax.Array, key: jax.Array) -> jax.Array:
            return jax.vmap(lambda s: own(jax.random.fold_in(key, s)))(shards).T

        at, all_of_it = PartitionSpec(self.axis), PartitionSpec()
        # Not checked for what varies from device to device: of a sort of pairs, jax 0.12 thinks the second doesn't.
        spread = partial(jax.shard_map, mesh=self.mesh, in_specs=(at, all_of_it), check_vma=False)
        shards = jnp.arange(self.number, dtype=jnp.uint32)
        return spread(shuffled, out_specs=PartitionSpec(None, *at))(shards, key)

    def take(self, array: jax.Array, rows: jax.Array) -> jax.Array:
        """Rows of every shard, shard after shard, each device those of its own: nothing is sent.

        Args:
            array: (n, ...), spread over the devices.
            rows: row numbers within the shards, (k, count).

        Returns:
            (count · k, ...), spread like the array.
        """

        def taken(own: jax.Array, rows: jax.Array) -> jax.Array:
            shards = own.reshape(rows.shape[1], -1, *own.shape[1:])
            chosen = jax.vmap(lambda shard, numbers: shard[numbers], in_axes=(0, 1))(shards, rows)
            return chosen.reshape(-1, *own.shape[1:])

        at = PartitionSpec(self.axis)
        return jax.shard_map(taken, mesh=self.mesh, in_specs=(at, PartitionSpec(None, *at)), out_specs=at)(array, rows)

    def check(self, n: int, batch_size: int) -> None:
        """Refuse sizes that shards can't share equally.

        Args:
            n: number of rows.
            batch_size: examples a step.

        Raises:
            ValueError: says expected, received, remedy.
        """
        if n % self.number:
            raise ValueError(
                f"expected placed data with rows in a multiple of {self.number} shards, got {n} rows; leave "
                f"{n % self.number} out, choose shards=, or hand host arrays to fit(mesh=...), which fills up with "
                "rows of weight 0"
            )
        if batch_size % self.number:
            below = max(self.number, batch_size - batch_size % self.number)
            raise ValueError(
                f"expected batch_size in a multiple of {self.number} shards, got {batch_size}; take {below}, or choose "
                "shards="
            )

    def numbers(self, rows: np.ndarray, n: int) -> np.ndarray:
        """Row numbers in the whole data set, in the order in which `take` gives them.

        Args:
            rows: part of an order, (k, count).
            n: number of rows.
        """
        return (rows + np.arange(self.number) * (n // self.number)).T.ravel()

    def enter(self, tree: Tree) -> tuple[Shards, Tree]:
        """Lay a train state over the mesh: leaves that lie on it stay as they are, every device gets the others.

        Args:
            tree: the train state.

        Returns:
            These shards, which know how the state lies, and the state.
        """
        tree = jax.tree.map(lambda leaf: _moved(leaf, self.mesh), tree)
        return self._replace(held=tuple(leaf.sharding.spec for leaf in jax.tree.leaves(tree))), tree

    def hold(self, tree: Tree) -> Tree:
        """The tree, to lie as the one before did: sums over examples end where their parameters are.

        Args:
            tree: what a step has made of what was there before.
        """
        leaves, structure = jax.tree.flatten(tree)
        places = [NamedSharding(self.mesh, spec) for spec in self.held]
        pairs = zip(leaves, places, strict=True)
        return jax.tree.unflatten(structure, [jax.lax.with_sharding_constraint(leaf, place) for leaf, place in pairs])


Dealing = Whole | Shards
WHOLE = Whole()


def batch_sizes(
    n: int,
    batch_size: int,
    order: jax.Array | None = None,
    weights: jax.Array | None = None,
    rows: Dealing = WHOLE,
) -> jax.Array:
    """How much each batch of an epoch counts in its mean loss: its examples, or the sum of their weights.

    Args:
        n: examples in all.
        batch_size: examples a step.
        order: as `epoch_order` gives it; needed with weights only.
        weights: weight of each example, (n,), or None.
        rows: how the examples are dealt out.

    Returns:
        (steps,).
    """
    if weights is None or order is None:
        return jnp.pad(jnp.ones(n), (0, -n % batch_size)).reshape(-1, batch_size).sum(axis=1)
    each, size = rows.take(weights, order).astype(jnp.result_type(float)), rows.rows_a_step(batch_size)
    each = each.reshape(-1, order.shape[0]).T  # shards side by side
    return jnp.pad(each, ((0, -order.shape[0] % size), (0, 0))).reshape(-1, size * each.shape[1]).sum(axis=1)


def shards_over(mesh: Any, count: int, axis: str | None = None) -> Shards:
    """Deal logical shards out to the devices of a mesh.

    Args:
        mesh: where.
        count: how many shards.
        axis: the mesh's axis; None where it has one only.

    Returns:
        The shards.

    Raises:
        TypeError, ValueError: what is no mesh, or one that doesn't suit.
    """
    if not isinstance(mesh, Mesh):
        raise TypeError(f"expected a mesh of devices, got {type(mesh).__name__}; as jax.make_mesh((4,), ('examples',))")
    if axis is None and len(mesh.axis_names) != 1:
        raise ValueError(
            f"expected a mesh with one axis, got axes {mesh.axis_names}; as jax.make_mesh((4,), ('examples',))"
        )
    axis = mesh.axis_names[0] if axis is None else axis
    devices = mesh.shape[axis]
    if count % devices:
        raise ValueError(
            f"expected shards in a multiple of the {devices} devices, got {count}; pass shards={devices}, which is "
            "part of the run: the same number gives the same result on other devices"
        )
    return Shards(_automatic(mesh), axis, count)


def _automatic(mesh: Mesh) -> Mesh:
    """The same devices, with the compiler splitting the work: rules written for one device hold as they are."""
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))


def _moved(leaf: Any, mesh: Mesh) -> jax.Array:
    spec = PartitionSpec()
    if isinstance(leaf, jax.Array) and isinstance(leaf.sharding, NamedSharding):
        spec = leaf.sharding.spec if set(leaf.sharding.mesh.axis_names) <= set(mesh.axis_names) else spec
    return laid_at(leaf, NamedSharding(mesh, spec))
