"""scikit-learn's interface, over `fit`: `Classifier` and `Regressor`; needs the extra `sklearn` (scikit-learn).

Whatever takes an estimator takes them: cross-validation, searches, pipelines, calibration, every score. They add
nothing to how a network is trained. What they learn is a network like any other, `net_`, `params_` and `state_`,
scaling included, so `fnn.save_network`, `fnn.check` and the pictures take it.

scikit-learn is imported when one of the two is asked for, so `import fnn` neither needs it nor waits for it. Read
`learning` first: it makes the network and trains it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fnn.estimators.classifier import Classifier as Classifier
    from fnn.estimators.regressor import Regressor as Regressor

__all__ = ["Classifier", "Regressor"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {' and '.join(__all__)}")
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "fnn.estimators speaks scikit-learn's interface, which is not installed; install it with: "
            "pip install 'fnn[sklearn]'"
        ) from error
    return getattr(importlib.import_module(f"fnn.estimators.{name.lower()}"), name)


def __dir__() -> list[str]:
    return __all__
