"""`Classifier`: a network with softmax and cross-entropy behind scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from fnn.estimators.learning import NetworkEstimator
from fnn.layers.activations import relu
from fnn.layers.base import Layer
from fnn.losses.on_logits import softmax_cross_entropy
from fnn.losses.penalties import Penalty
from fnn.optimizers.adaptive import adam


class Classifier(ClassifierMixin, NetworkEstimator):
    """A network that classifies, as scikit-learn's estimator: classes may be numbers or text.

    Args:
        hidden: widths of the hidden layers, such as (100,) or (64, 64); () makes logistic regression.
        activation: of the hidden layers, such as `fnn.tanh`.
        optimizer: learning rate -> optimizer, such as `fnn.adam` or functools.partial(fnn.momentum, beta=0.8).
        learning_rate: what it is given, a number or a schedule.
        penalty: strength of an L2 penalty on the weights, or a penalty such as `fnn.l1(1e-4)`.
        epochs: passes over the data, at most.
        batch_size: examples a step, or all where there are fewer.
        patience: stop after so many epochs without a smaller loss on a part of the data that is held out for that, and
            keep the best parameters; None trains all epochs on all data.
        validation_fraction: share of the data held out where patience is given.
        tolerance: how much smaller a loss has to be to count, in nats.
        class_weight: None, "balanced", or a dictionary from class to weight.
        standardize: scale each feature to mean 0 and deviation 1 of the training data.
        warm_start: let `fit` go on from what was learnt before, for `epochs` further epochs, at the rate set now.
        seed: of the random numbers; equal seeds give equal results.
        progress: show a bar, or lines in a log file.

    Attributes:
        classes_: the classes, sorted, (c,).
        net_, params_, state_: the network and what it learnt; `fnn.save_network` takes them.
        fit_: what `fnn.fit` returned; its train state is what `warm_start` and `partial_fit` go on from.
        history_: one `Epoch` for each pass.
        n_iter_: epochs made.
        n_features_in_: features of an example.
        feature_names_in_: their names, where a data frame told them.

    Examples:
        >>> import numpy as np
        >>> from fnn.estimators import Classifier
        >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> model = Classifier(hidden=(), learning_rate=0.3, epochs=50).fit(x, ["low", "low", "high", "high"])
        >>> model.predict([[-1.0], [4.0]]).tolist()
        ['low', 'high']
    """

    def __init__(
        self,
        hidden: int | Sequence[int] = (100,),
        *,
        activation: Layer = relu,
        optimizer: Callable = adam,
        learning_rate: Any = 1e-3,
        penalty: float | Penalty = 0.0,
        epochs: int = 100,
        batch_size: int = 200,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        tolerance: float = 0.0,
        class_weight: Mapping | str | None = None,
        standardize: bool = True,
        warm_start: bool = False,
        seed: int = 0,
        progress: bool = False,
    ):
        self.hidden = hidden
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.penalty = penalty
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.tolerance = tolerance
        self.class_weight = class_weight
        self.standardize = standardize
        self.warm_start = warm_start
        self.seed = seed
        self.progress = progress

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Classifier:
        """Train on a table.

        Args:
            X: (n, d), numbers.
            y: classes, (n,), numbers or text.
            sample_weight: weight of each example, (n,); one of 0 is as if it were not there.

        Returns:
            The estimator itself.

        Raises:
            ValueError: data or settings that don't fit, a single class.
            TrainingDiverged: a value that is not finite came up; its message says where and why.
        """
        x, labels, weights = self._labelled(X, y, sample_weight, first=True)
        found = np.unique(labels)
        if len(found) < 2:
            raise ValueError(f"Classifier expects at least 2 classes in y, got 1 class, {found[0]}")
        before = getattr(self, "classes_", None)
        if self.warm_start and before is not None and not np.array_equal(before, found):
            raise ValueError(
                f"warm_start expects the classes {before.tolist()} again, got {found.tolist()}; fit anew with "
                "warm_start=False"
            )
        self.classes_ = found
        y = np.searchsorted(found, labels)
        self._learn(softmax_cross_entropy, len(found), x, y, self._weighed(labels, weights), classes=y)
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Classifier:
        """Train for one epoch on a part of the data, from where training stands; the first part fixes the scaling.

        Args:
            X: (n, d), numbers.
            y: classes, (n,).
            classes: all classes there will be; needed in the first call.
            sample_weight: weight of each example, (n,).

        Returns:
            The estimator itself.

        Raises:
            ValueError: data or settings that don't fit, a class that `classes` does not name.
        """
        first = not hasattr(self, "classes_")
        if first and classes is None:
            raise ValueError("the first partial_fit expects classes=, all classes there will be, got None")
        known = np.unique(classes) if classes is not None else self.classes_
        if not first and not np.array_equal(known, self.classes_):
            raise ValueError(f"partial_fit expects the classes {self.classes_.tolist()} again, got {known.tolist()}")
        x, labels, weights = self._labelled(X, y, sample_weight, first=first)
        strange = np.setdiff1d(labels, known)
        if len(strange):
            raise ValueError(f"partial_fit expects classes among {known.tolist()}, got {strange.tolist()} in y")
        self.classes_ = known
        net = self._network(softmax_cross_entropy, x.shape[1], len(known))
        before = None if first else self.fit_
        self._train(net, x, np.searchsorted(known, labels), self._weighed(labels, weights), before, epochs=1)
        return self

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probability of each class, (n, c), in the order of `classes_`.

        Args:
            X: (n, d).
        """
        return self._predicted(X)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The most probable class of each example, (n,).

        Args:
            X: (n, d).
        """
        check_is_fitted(self, "params_")
        return self.classes_[self._predicted(X).argmax(axis=1)]

    def _labelled(self, x: Any, y: Any, sample_weight: Any, *, first: bool) -> tuple[Any, Any, Any]:
        x, y, weights = self._read(x, y, sample_weight, first=first)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return x, y, weights

    def _weighed(self, labels: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        """Weights of the examples times those of their classes."""
        if self.class_weight is None:
            return weights
        by_class = compute_sample_weight(self.class_weight, labels)
        return by_class if weights is None else weights * by_class
