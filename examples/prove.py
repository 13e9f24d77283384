"""Prove instead of sample: a rule, an optimizer, a fused loss and an identity, for all inputs; and a mistake of 1e-12.

Every other check of a gradient compares numbers at points, within a tolerance. A proof compares functions, with none.

python examples/prove.py            four proofs, one difference, one thing that can't be told
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import fnn


# ── a rule: the gradient of attention, derived by hand ──────────────────────────────────────────────────────────────
def attention(q, k, v):
    """softmax(Q Kᵀ / √d) V."""
    return jax.nn.softmax(q @ k.T / jnp.sqrt(1.0 * q.shape[1])) @ v


def attention_loss(qkv, weights):
    """A scalar, so that there is a gradient."""
    return (attention(*qkv) * weights).sum()


def attention_backward(qkv, dy):
    """With S = Q Kᵀ / √d and P = softmax(S): dV = Pᵀ dY, dP = dY Vᵀ, dS = P ⊙ (dP − rowsum(dP ⊙ P))."""
    q, k, v = qkv
    scale = 1 / jnp.sqrt(1.0 * q.shape[1])
    p = jax.nn.softmax(q @ k.T * scale)
    dp = dy @ v.T
    ds = p * (dp - (dp * p).sum(axis=1, keepdims=True)) * scale
    return ds @ k, ds.T @ q, p.T @ dy


# ── an optimizer: what the paper says ────────────────────────────────────────────────────────────────────────────────
def by_the_paper(g, m, v):
    """Adam at its fourth step, as algorithm 1 of Kingma and Ba writes it."""
    m, v = 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g**2
    m_hat, v_hat = m / (1 - jnp.asarray(0.9) ** 4), v / (1 - jnp.asarray(0.999) ** 4)
    return -1e-3 * m_hat / (jnp.sqrt(v_hat) + 1e-8)


def by_the_library(g, m, v):
    """The same step of `fnn.adam`."""
    optimizer = fnn.adam(1e-3)
    state = optimizer.init(g)._replace(step=jnp.asarray(3, jnp.int32), m=m, v=v)
    return optimizer.update(g, state)[0]


# ── a fused loss: softmax and cross-entropy in one ───────────────────────────────────────────────────────────────────
def fused(z, y):
    """Stable, as it is trained with."""
    return fnn.softmax_cross_entropy(z, y)


def in_two_steps(z, y):
    """As the textbook has it: it overflows for large z, and is the same function."""
    p = jnp.exp(z) / jnp.exp(z).sum(axis=1, keepdims=True)
    return -jnp.log(p[jnp.arange(len(y)), y]).mean()


def main() -> None:
    """Prove four things, and fail to prove two."""
    argparse.ArgumentParser(description=__doc__).parse_known_args()
    draw = np.random.default_rng(0)
    qkv = tuple(jnp.asarray(draw.normal(size=(5, 4))) for _ in range(3))
    z, dy = jnp.asarray(draw.normal(size=(5, 3))), jnp.asarray(draw.normal(size=(5, 4)))

    def told(what, proof):
        print(f"{what}\n  {proof}\n")
        return proof

    told("attention, by hand", fnn.prove_gradient(attention_loss, attention_backward, qkv, dy)).assert_proved()
    moments = (dy, jnp.abs(dy), jnp.abs(dy) + 0.1)
    told("Adam and its paper", fnn.prove(by_the_library, by_the_paper, *moments)).assert_proved()
    labels = jnp.array([0, 2, 1, 1, 0])
    told("a loss fused and not", fnn.prove(fused, in_two_steps, z, labels)).assert_proved()
    told("an identity", fnn.prove(lambda z: jax.nn.softplus(z) - z, lambda z: jax.nn.softplus(-z), z)).assert_proved()

    # one entry off by a factor of 1 + 10⁻¹²: far below the tolerance of any check with differences
    def nearly(qkv, dy):
        dq, dk, dv = attention_backward(qkv, dy)
        return dq, dk.at[0, 0].mul(1 + 1e-12), dv

    print("attention, with one entry off by 1e-12 of itself")
    print(f"  compared within 1e-9: {fnn.check_gradient(attention_loss, nearly, qkv, dy).verdict}")
    told("  compared without a tolerance:", fnn.prove_gradient(attention_loss, nearly, qkv, dy))
    told("two literals side by side", fnn.prove(lambda z: 0.1 * z, lambda z: 0.10000000000000002 * z, z))


if __name__ == "__main__":
    main()
