"""Networks as scikit-learn estimators, for `Pipeline`, `GridSearchCV`, `cross_val_score` and all that takes them.

This needs scikit-learn, which nothing else of minidl does: `pip install 'minidl[sklearn]'`.
"""

try:
    from sklearn.utils.validation import validate_data as _since_1_6  # noqa: F401
except ImportError:
    raise ImportError("minidl.sklearn needs scikit-learn 1.6 or newer: pip install 'minidl[sklearn]'") from None

from minidl.sklearn.mlp import MLPClassifier, MLPRegressor
from minidl.sklearn.network import NetworkClassifier, NetworkRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "NetworkClassifier", "NetworkRegressor"]
