"""Physics in the loss: a differential equation's residual, a simulated pendulum, a stencil, an equilibrium."""

import jax
import jax.numpy as jnp
import numpy as np

from .planting import ByHand


def oscillator_residual(p, t, weight):
    """Let u = Σ_j v_j tanh(w_j t + b_j): ½ mean (u'' + c u' + k u)² + ½ weight ((u(0) − 1)² + u'(0)²)."""
    a = t[:, None] * p["w"] + p["b"]
    h = jnp.tanh(a)
    slope = 1 - h**2
    u = h @ p["v"]
    du = (slope * p["w"]) @ p["v"]
    ddu = (-2 * h * slope * p["w"] ** 2) @ p["v"]
    residual = ddu + p["c"] * du + p["k"] * u
    start = jnp.tanh(p["b"])
    u0 = start @ p["v"] - 1
    du0 = ((1 - start**2) * p["w"]) @ p["v"]
    return 0.5 * jnp.mean(residual**2) + 0.5 * weight * (u0**2 + du0**2)


def oscillator_residual_backward(p, t, weight):
    """Differentiate `oscillator_residual` with respect to the network and the equation's own c and k."""
    w, b, v = p["w"], p["b"], p["v"]
    h = np.tanh(t[:, None] * w + b)
    s = 1 - h**2
    u, du, ddu = h @ v, (s * w) @ v, (-2 * h * s * w**2) @ v
    r = (ddu + p["c"] * du + p["k"] * u) / len(t)
    dc, dk = r @ du, r @ u
    dv = h.T @ r * p["k"] + (s * w).T @ r * p["c"] + (-2 * h * s * w**2).T @ r
    third = -2 * s * (1 - 3 * h**2)
    da = np.outer(r, v) * (p["k"] * s - 2 * p["c"] * h * s * w + third * w**2)
    dw = da.T @ t + v * (p["c"] * s.T @ r - 4 * w * ((h * s).T @ r))
    db = da.sum(axis=0)
    h0 = np.tanh(b)
    s0 = 1 - h0**2
    e0, de0 = weight * (h0 @ v - 1), weight * ((s0 * w) @ v)
    dv = dv + e0 * h0 + de0 * s0 * w
    dw = dw + de0 * s0 * v
    db = db + e0 * s0 * v - 2 * de0 * h0 * s0 * w * v
    return {"w": dw, "b": db, "v": dv, "c": dc, "k": dk}


def oscillator_arguments(random):
    """Six points in time, four hidden units."""
    p = {"w": random.normal(size=4), "b": random.normal(size=4), "v": random.normal(size=4)}
    return p | {"c": np.float64(0.3), "k": np.float64(1.7)}, np.linspace(0.1, 2, 6), 3.0


def pendulum(p, observed, dt):
    """Symplectic Euler ω ← ω − dt (g sin θ + c ω), θ ← θ + dt ω; ½ Σ_t (θ_t − observed_t)², with the start fitted."""

    def step(state, seen):
        theta, omega = state
        omega = omega - dt * (p["g"] * jnp.sin(theta) + p["c"] * omega)
        theta = theta + dt * omega
        return (theta, omega), 0.5 * (theta - seen) ** 2

    _, losses = jax.lax.scan(step, (p["theta0"], p["omega0"]), observed)
    return jnp.sum(losses)


def pendulum_backward(p, observed, dt):
    """The adjoint of `pendulum`, run backwards in time."""
    thetas, omegas = [p["theta0"]], [p["omega0"]]
    for _ in observed:
        omegas.append(omegas[-1] - dt * (p["g"] * np.sin(thetas[-1]) + p["c"] * omegas[-1]))
        thetas.append(thetas[-1] + dt * omegas[-1])
    dg = dc = dtheta = domega = 0.0
    for t in reversed(range(len(observed))):
        dtheta += thetas[t + 1] - observed[t]
        domega += dt * dtheta
        dg -= domega * dt * np.sin(thetas[t])
        dc -= domega * dt * omegas[t]
        dtheta -= domega * dt * p["g"] * np.cos(thetas[t])
        domega *= 1 - dt * p["c"]
    return {"g": dg, "c": dc, "theta0": dtheta, "omega0": domega}


def pendulum_arguments(random):
    """Ten steps of 0.1."""
    p = {"g": np.float64(3.0), "c": np.float64(0.4), "theta0": np.float64(0.9), "omega0": np.float64(-0.5)}
    return p, random.normal(size=10), 0.1


def heat_equation(p, u, measured, dt):
    """Explicit steps u_i ← u_i + dt (κ_i (u_{i+1} − 2 u_i + u_{i−1}) + f_i), periodic; ½ mean square, smooth κ."""
    for _ in range(3):
        laplacian = jnp.roll(u, -1) - 2 * u + jnp.roll(u, 1)
        u = u + dt * (p["kappa"] * laplacian + p["f"])
    jumps = jnp.diff(p["kappa"])
    smooth = 0.05 * jnp.sum(jnp.sqrt(jumps**2 + 1e-2))
    return 0.5 * jnp.mean((u - measured) ** 2) + smooth


def heat_equation_backward(p, u, measured, dt):
    """The adjoint of `heat_equation` with respect to the conductivities and the sources."""
    kappa, f = np.asarray(p["kappa"]), np.asarray(p["f"])
    u, measured = np.asarray(u), np.asarray(measured)
    states = [u]
    for _ in range(3):
        v = states[-1]
        states.append(v + dt * (kappa * (np.roll(v, -1) - 2 * v + np.roll(v, 1)) + f))
    lam = (states[-1] - measured) / len(u)
    dkappa, df = np.zeros(len(u)), np.zeros(len(u))
    for v in states[-2::-1]:
        laplacian = np.roll(v, -1) - 2 * v + np.roll(v, 1)
        dkappa += dt * lam * laplacian
        df += dt * lam
        flux = kappa * lam
        lam = lam + dt * (np.roll(flux, 1) - 2 * flux + np.roll(flux, -1))
    jumps = np.diff(kappa)
    weight = 0.05 * jumps / np.sqrt(jumps**2 + 1e-2)
    dkappa[1:] += weight
    dkappa[:-1] -= weight
    return {"kappa": dkappa, "f": df}


def heat_arguments(random):
    """Eight cells."""
    p = {"kappa": random.uniform(0.5, 1.5, 8), "f": random.normal(size=8)}
    return p, random.normal(size=8), random.normal(size=8), 0.2


FUNCTIONS = (
    ByHand(oscillator_residual, oscillator_residual_backward, oscillator_arguments),
    ByHand(pendulum, pendulum_backward, pendulum_arguments),
    ByHand(heat_equation, heat_equation_backward, heat_arguments),
)
