"""`Regressor`: a network for numbers behind scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils import Tags

from fnn.estimators.learning import NetworkEstimator
from fnn.layers.activations import relu
from fnn.layers.base import Layer
from fnn.losses.base import Loss
from fnn.losses.on_logits import mean_squared_error
from fnn.losses.penalties import Penalty
from fnn.optimizers.adaptive import adam


class Regressor(RegressorMixin, NetworkEstimator):
    """A network that predicts numbers, as scikit-learn's estimator; one target an example or several.

    Args:
        hidden: widths of the hidden layers, such as (100,) or (64, 64); () makes linear regression.
        activation: of the hidden layers, such as `fnn.tanh`.
        loss: of values, such as `fnn.mean_squared_error` or fnn.huber(1.0), summed over the targets of an example.
        optimizer: learning rate -> optimizer, such as `fnn.adam` or functools.partial(fnn.momentum, beta=0.8).
        learning_rate: what it is given, a number or a schedule.
        penalty: strength of an L2 penalty on the weights, or a penalty such as `fnn.l1(1e-4)`.
        epochs: passes over the data, at most.
        batch_size: examples a step, or all where there are fewer.
        patience: stop after so many epochs without a smaller loss on a part of the data that is held out for that, and
            keep the best parameters; None trains all epochs on all data.
        validation_fraction: share of the data held out where patience is given.
        tolerance: how much smaller a loss has to be to count.
        standardize: scale features and targets to mean 0 and deviation 1 of the training data; the loss is then taken
            in these units, and predictions are in the target's own.
        warm_start: let `fit` go on from what was learnt before, for `epochs` further epochs, at the rate set now.
        seed: of the random numbers; equal seeds give equal results.
        progress: show a bar, or lines in a log file.

    Attributes:
        net_, params_, state_: the network and what it learnt; `fnn.save_network` takes them.
        fit_: what `fnn.fit` returned; its train state is what `warm_start` and `partial_fit` go on from.
        history_: one `Epoch` for each pass.
        n_iter_: epochs made.
        n_features_in_: features of an example.
        feature_names_in_: their names, where a data frame told them.

    Examples:
        >>> import numpy as np
        >>> from fnn.estimators import Regressor
        >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> model = Regressor(hidden=(), learning_rate=0.1, epochs=200).fit(x, 1000 * x[:, 0])
        >>> model.predict([[4.0]]).round()
        array([4000.])
    """

    def __init__(
        self,
        hidden: int | Sequence[int] = (100,),
        *,
        activation: Layer = relu,
        loss: Loss = mean_squared_error,
        optimizer: Callable = adam,
        learning_rate: Any = 1e-3,
        penalty: float | Penalty = 0.0,
        epochs: int = 100,
        batch_size: int = 200,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        tolerance: float = 0.0,
        standardize: bool = True,
        warm_start: bool = False,
        seed: int = 0,
        progress: bool = False,
    ):
        self.hidden = hidden
        self.activation = activation
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.penalty = penalty
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.tolerance = tolerance
        self.standardize = standardize
        self.warm_start = warm_start
        self.seed = seed
        self.progress = progress

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Regressor:
        """Train on a table.

        Args:
            X: (n, d), numbers.
            y: targets, (n,) or (n, k).
            sample_weight: weight of each example, (n,); one of 0 is as if it were not there.

        Returns:
            The estimator itself.

        Raises:
            ValueError: data or settings that don't fit.
            TrainingDiverged: a value that is not finite came up; its message says where and why.
        """
        x, targets, weights = self._valued(X, y, sample_weight, first=True)
        self._learn(self.loss, targets.shape[1], x, targets, weights)
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Regressor:
        """Train for one epoch on a part of the data, from where training stands; the first part fixes the scaling.

        Args:
            X: (n, d), numbers.
            y: targets, (n,) or (n, k).
            sample_weight: weight of each example, (n,).

        Returns:
            The estimator itself.

        Raises:
            ValueError: data or settings that don't fit.
        """
        before = getattr(self, "fit_", None)
        x, targets, weights = self._valued(X, y, sample_weight, first=before is None)
        self._train(self._network(self.loss, x.shape[1], targets.shape[1]), x, targets, weights, before, epochs=1)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Values in the target's unit, (n,) or (n, k) as y was.

        Args:
            X: (n, d).
        """
        predicted = self._predicted(X).astype(np.float64)
        return predicted[:, 0] if self._flat else predicted

    def _valued(self, x: Any, y: Any, sample_weight: Any, *, first: bool) -> tuple[Any, Any, Any]:
        x, y, weights = self._read(x, y, sample_weight, first=first, multi_output=True, y_numeric=True)
        self._flat = y.ndim == 1
        return x, np.asarray(y, np.float64).reshape(len(x), -1), weights

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
