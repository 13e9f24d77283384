"""What both estimators share: a network made of their settings, and `fit` that trains it or goes on.

Settings are kept as they were given and looked at when training begins, as scikit-learn's searches want it. Networks of
equal settings are equal, so a second one of the same shape compiles nothing, whatever its rate, its seed and its data.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import jax
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_is_fitted, validate_data

from fnn.layers.base import Layer
from fnn.layers.combinators import serial
from fnn.layers.dense import dense
from fnn.layers.rescaling import standardize_inputs
from fnn.losses.base import Loss
from fnn.losses.penalties import Penalty, l2
from fnn.networks.acceptance import check_example_weights
from fnn.networks.building import network
from fnn.networks.network import Network
from fnn.networks.target_units import standardize_targets
from fnn.training.fitting import fit
from fnn.training.outcomes import Fit
from fnn.validation import require_flag, require_function, require_number, require_whole

_ROWS = 256  # examples that are predicted at a time, the last ones padded: one program, and a row's answer is its own


class NetworkEstimator(BaseEstimator):
    """Base of `Classifier` and `Regressor`; their settings are attributes of the same names."""

    net_: Network  # set by training, as all names that end so
    fit_: Fit

    def _read(self, x: Any, y: Any, sample_weight: Any, *, first: bool, **checks: Any) -> tuple[Any, Any, Any]:
        """Data as scikit-learn checks them; examples that weigh nothing are left out."""
        x, y = validate_data(self, x, y, reset=first, dtype=[np.float64, np.float32], **checks)
        if sample_weight is None:
            return x, y, None
        weights = np.asarray(check_example_weights(sample_weight, len(x)))
        return x[weights > 0], y[weights > 0], weights[weights > 0]

    def _learn(self, loss: Loss, outputs: int, x: Any, y: Any, weights: Any, classes: Any = None) -> None:
        """All epochs, from the start or with `warm_start` from where training stands."""
        net = self._network(loss, x.shape[1], outputs)
        before = getattr(self, "fit_", None) if require_flag("expected warm_start", self.warm_start) else None
        validation = None
        if self.patience is not None:
            share = require_number(
                "expected a validation_fraction between 0 and 1", self.validation_fraction, lambda share: 0 < share < 1
            )
            parts = (x, y) if weights is None else (x, y, weights)
            parted = train_test_split(*parts, test_size=share, random_state=self.seed, stratify=classes)
            (x, y), validation = parted[0::2][:2], tuple(parted[1::2][:2])
            weights = None if weights is None else parted[4]
        self._train(net, x, y, weights, before, epochs=self.epochs, validation=validation, patience=self.patience)

    def _train(self, net: Network, x: Any, y: Any, weights: Any, before: Fit | None, **how: Any) -> None:
        """`fnn.fit` from the start, or from where a run before has ended."""
        if before is not None and self.net_ != net:
            raise ValueError(
                f"going on expects the same network, got {net!r:.200} after {self.net_!r:.200}; keep hidden, "
                "activation, penalty, standardize, the features and the classes, or fit anew with warm_start=False"
            )
        self.fit_ = fit(
            net,
            (x, y),
            optimizer=self._optimizer(),
            batch_size=self._batch_size(len(x)),
            key=self._key() if before is None else None,
            weights=weights,
            start=before,
            tolerance=self.tolerance,
            progress=self.progress,
            **how,
        )
        self.net_, self.params_, self.state_, self.history_ = net, self.fit_.params, self.fit_.state, self.fit_.history
        self.n_iter_ = len(self.history_)

    def _network(self, loss: Loss, features: int, outputs: int) -> Network:
        widths = tuple(self.hidden) if isinstance(self.hidden, Iterable) else (self.hidden,)
        layers: list[Layer] = [standardize_inputs()] if require_flag("expected standardize", self.standardize) else []
        targets = standardize_targets() if self.standardize and not loss.classifies else None
        for width in widths:
            layers += [dense(width), self.activation]
        return network(
            serial(*layers, dense(outputs)), loss, input_shape=(features,), penalty=self._penalty(), targets=targets
        )

    def _penalty(self) -> Penalty | None:
        if isinstance(self.penalty, Penalty):
            return self.penalty
        expected = "expected penalty as the strength of an L2 penalty, at least 0, or a penalty such as fnn.l1(1e-4)"
        strength = require_number(expected, self.penalty, lambda strength: strength >= 0)
        return l2(strength) if strength > 0 else None

    def _optimizer(self) -> Any:
        expected = "expected optimizer as a function of the learning rate, such as fnn.adam"
        return require_function(expected, self.optimizer, arguments=1)(self.learning_rate)

    def _batch_size(self, n: int) -> int:
        return min(n, require_whole("expected batch_size of at least 1", self.batch_size))

    def _key(self) -> jax.Array:
        return jax.random.key(require_whole("expected seed as a whole number of at least 0", self.seed, least=0))

    def _predicted(self, x: Any) -> np.ndarray:
        """What the network predicts for each row, ŷ, (n, outputs)."""
        check_is_fitted(self, "params_")
        x = validate_data(self, x, reset=False, dtype=[np.float64, np.float32])
        blocks = [x[start : start + _ROWS] for start in range(0, len(x), _ROWS)]
        run = partial(_forward, self.net_, self.params_, state=self.state_)
        padded = (np.pad(block, ((0, _ROWS - len(block)), (0, 0))).astype(np.float32) for block in blocks)
        return np.concatenate(
            [np.asarray(run(x=rows))[: len(block)] for rows, block in zip(padded, blocks, strict=True)]
        )


@partial(jax.jit, static_argnums=0)
def _forward(net: Network, params: Any, x: jax.Array, state: Any) -> jax.Array:
    return net.forward(params, x, state)
