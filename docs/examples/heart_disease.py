"""Heart disease in four hospitals, with gaps in the data: ``python heart_disease.py FOLDER [SOURCE [TARGET]]``.

FOLDER holds the UCI files ``processed.HOSPITAL.data``. A classifier is trained where the labels are and used where they
are not. Missing values are the pipeline's affair: the classifier's for its inputs, and ``preprocess`` for the weights.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dalib.weights import (
    DomainClassifierWeights,
    ImportanceWeighted,
    WeightedKFold,
    balance_table,
    effective_sample_size,
    importance_weighted_scorer,
)


def hospital(folder: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """13 columns, with NaN where the file has a question mark; the label is any disease."""
    rows = np.genfromtxt(Path(folder) / f"processed.{name}.data", delimiter=",", missing_values="?")
    return rows[:, :-1], (rows[:, -1] > 0).astype(int)


def filled() -> SimpleImputer:
    """Medians for gaps; a column that is missing altogether stays, as zeros."""
    return SimpleImputer(strategy="median", keep_empty_features=True)


def main(folder: str, source: str = "cleveland", target: str = "hungarian") -> dict[str, float]:
    """Accuracy on the target without weights, and with the exponent that weighted cross-validation picks."""
    X, y = hospital(folder, source)
    Z, z = hospital(folder, target)

    classifier = make_pipeline(filled(), StandardScaler(), LogisticRegression())
    both = make_pipeline(filled(), StandardScaler()).fit(np.vstack([X, Z]))
    ratio = DomainClassifierWeights().fit(both.transform(X), both.transform(Z))
    table = balance_table(both.transform(X), both.transform(Z), ratio.weights_)

    # How far to trust the weights: 0 is not at all; judged on source rows, weighted as the target would
    model = ImportanceWeighted(
        classifier, weights=DomainClassifierWeights(), target=Z, preprocess=make_pipeline(filled(), StandardScaler())
    )
    on_target = importance_weighted_scorer(accuracy_score, ratio, preprocess=both)
    folds = WeightedKFold(ratio.weights_, 5)
    search = GridSearchCV(
        model, {"flattening": [0.0, 0.25, 0.5, 1.0]}, cv=folds, scoring=on_target, error_score="raise"
    ).fit(X, y)

    return {
        "effective rows": effective_sample_size(ratio.weights_),
        "largest difference of means, before": float(np.abs(table.before).max()),
        "largest difference of means, after": float(np.abs(table.after).max()),
        "flattening": search.best_params_["flattening"],
        "estimated accuracy": search.best_score_,
        "unweighted": float(classifier.fit(X, y).score(Z, z)),
        "weighted": float(search.best_estimator_.score(Z, z)),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of collapsed weights: the number of effective rows says it
    for name, number in main(*sys.argv[1:]).items():
        print(f"{name:36s} {number:.3f}")
