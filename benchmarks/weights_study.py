"""What weighting does for accuracy on real domains, and how near the weights come to a truth that is known.

    python benchmarks/weights_study.py            # writes benchmarks/results/weights/*.json

Real domains (read from DALIB_DATA, default ../shared/data; sets that are absent are left out and named): every ordered
pair, three seeds. A seed draws 80 % of the source rows, at most 500. Gaps are filled by medians; sets of 100 features
and more are reduced to the first 50 principal components of both domains. The classifier is the same for all:
standardisation and logistic regression with C = 1 (0.01 on components). Weights are estimated on the first 10 principal
components of both domains, standardised, from at most 500 target rows. All options are the library's defaults and none
was tuned; target labels are read for the accuracy alone.

Known truth: rows of scikit-learn's bundled sets are dealt to source and target by a rule whose ratio is known.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
from scipy.special import expit
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dalib.data import DomainSet, amazon_reviews, digits_jda, office_caltech_surf
from dalib.weights import (
    BBSE,
    KLIEP,
    RLLS,
    ULSIF,
    BiasCorrectedTemperature,
    DomainClassifierWeights,
    GaussianDensityWeights,
    KernelDensityWeights,
    KernelMeanMatching,
    MaximumLikelihoodLabelShift,
    NearestNeighbourWeights,
    RuLSIF,
    TargetShiftWeights,
    effective_sample_size,
)

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("DALIB_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "benchmarks" / "results" / "weights"
SEEDS = (0, 1, 2)

RATIOS = {
    "domain classifier": DomainClassifierWeights(),
    "domain classifier, square root": DomainClassifierWeights(),
    "kernel mean matching": KernelMeanMatching(),
    "kernel mean matching, at most 10": KernelMeanMatching(max_weight=10.0),
    "KLIEP": KLIEP(),
    "uLSIF": ULSIF(),
    "RuLSIF": RuLSIF(),
    "nearest neighbour, +1": NearestNeighbourWeights(smoothing=1.0),
    "Gaussian, shared covariance": GaussianDensityWeights(shared_covariance=True),
    "kernel density": KernelDensityWeights(),
}

Domain = tuple[np.ndarray, np.ndarray]


def heart_disease() -> dict[str, Domain]:
    """Four hospitals, 13 columns with gaps; the label is any disease."""
    domains = {}
    for name in ("cleveland", "hungarian", "switzerland", "va"):
        rows = np.genfromtxt(DATA / "heart_disease" / f"processed.{name}.data", delimiter=",", missing_values="?")
        domains[name] = (rows[:, :-1], (rows[:, -1] > 0).astype(int))
    return domains


def published(read: Callable[[Path], DomainSet], folder: str) -> dict[str, Domain]:
    """A set of features as the library reads it."""
    domains = {}
    for name, domain in read(DATA / folder).domains.items():
        rows = domain.inputs.load(np.arange(len(domain.inputs)))
        domains[name] = (rows.numpy().astype(float), np.asarray(domain.labels))
    return domains


def accuracies(source: Domain, target: Domain, seed: int) -> Iterator[tuple[str, float, dict[str, float]]]:
    """Name, accuracy on the target and diagnostics of each method."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(source[0]))[: min(500, int(0.8 * len(source[0])))]
    Z, z = target
    y, wide = source[1][rows], Z.shape[1] >= 100
    fill = SimpleImputer(strategy="median", keep_empty_features=True)
    both = make_pipeline(fill, StandardScaler(), PCA(50, random_state=0)) if wide else fill
    both.fit(np.vstack([source[0][rows], Z]))
    X, Z = both.transform(source[0][rows]), both.transform(Z)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01 if wide else 1.0, max_iter=2000))
    reduce = make_pipeline(StandardScaler(), PCA(min(10, X.shape[1]), random_state=0), StandardScaler())
    reduce.fit(np.vstack([X, Z]))
    reduced, reduced_target = reduce.transform(X), reduce.transform(Z[rng.permutation(len(Z))[:500]])
    plain = sklearn.base.clone(classifier).fit(X, y)
    yield "unweighted", plain.score(Z, z), {}
    for name, ratio in RATIOS.items():
        flattening = 0.5 if name.endswith("square root") else 1.0
        try:
            weights = sklearn.base.clone(ratio).fit(reduced, reduced_target).weights_ ** flattening
        except ValueError as problem:
            yield name, float("nan"), {"error": str(problem)}  # type: ignore[dict-item]
            continue
        model = sklearn.base.clone(classifier).fit(X, y, logisticregression__sample_weight=weights / weights.mean())
        yield name, model.score(Z, z), {"effective_share": effective_sample_size(weights) / len(X)}
    held_out = cross_val_predict(classifier, X, y, cv=5, method="predict_proba")
    at_target = plain.predict_proba(Z)
    shift = MaximumLikelihoodLabelShift(calibrator=BiasCorrectedTemperature()).fit(held_out, y, at_target)
    yield "label shift: likelihood, adjusted", _hit(shift.adjust(at_target), plain.classes_, z), {}
    by_class = BBSE().fit(held_out, y, at_target)
    retrained = sklearn.base.clone(classifier).fit(X, y, logisticregression__sample_weight=by_class.weights_)
    yield "label shift: BBSE, retrained", float(retrained.score(Z, z)), {}


def _hit(probabilities: np.ndarray, classes: np.ndarray, labels: np.ndarray) -> float:
    return float((classes[probabilities.argmax(axis=1)] == labels).mean())


def real_domains(name: str, load: Callable[[], dict[str, Domain]]) -> dict[str, Any]:
    """Every ordered pair and seed of a set, and the mean over pairs with its deviation over seeds."""
    domains, runs = load(), []
    for (source, target), seed in ((pair, seed) for pair in permutations(domains, 2) for seed in SEEDS):
        for method, accuracy, more in accuracies(domains[source], domains[target], seed):
            runs.append(
                {"source": source, "target": target, "seed": seed, "method": method, "accuracy": accuracy, **more}
            )
    methods = list(dict.fromkeys(run["method"] for run in runs))
    return {"set": name, "runs": runs, "summary": {method: _summary(runs, method) for method in methods}}


def _summary(runs: list[dict[str, Any]], method: str) -> dict[str, float]:
    """Mean over pairs, deviation over seeds, and on how many pairs it beats or loses against the plain classifier."""
    table = {(r["source"], r["target"], r["seed"]): r["accuracy"] for r in runs if r["method"] == method}
    plain = {(r["source"], r["target"], r["seed"]): r["accuracy"] for r in runs if r["method"] == "unweighted"}
    pairs = sorted({key[:2] for key in table})
    of_pair = {pair: np.nanmean([table[*pair, seed] - plain[*pair, seed] for seed in SEEDS]) for pair in pairs}
    by_seed = [np.nanmean([table[*pair, seed] for pair in pairs]) for seed in SEEDS]
    return {
        "mean": float(np.mean(by_seed)),
        "std_over_seeds": float(np.std(by_seed, ddof=1)),
        "gain": float(np.mean(list(of_pair.values()))),
        "pairs_better": int(sum(gain > 0.005 for gain in of_pair.values())),
        "pairs_worse": int(sum(gain < -0.005 for gain in of_pair.values())),
        "pairs": len(pairs),
        "failed": int(sum(np.isnan(value) for value in table.values())),
    }


def known_ratio() -> dict[str, Any]:
    """Covariate shift with a known ratio: rows go to the target with a probability that rises along a component."""
    runs = []
    for set_name, load in {"breast cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}.items():
        x = PCA(5, random_state=0).fit_transform(StandardScaler().fit_transform(load().data))
        x = StandardScaler().fit_transform(x)
        for strength in (0.5, 1.5):
            for seed in range(3):
                to_target = np.random.default_rng(seed).uniform(size=len(x)) < expit(strength * x[:, 0])
                source, target = x[~to_target], x[to_target]
                truth = np.exp(strength * source[:, 0])  # P(target | x) / P(source | x)
                truth /= truth.mean()
                for name, ratio in {"none": None, **RATIOS}.items():
                    if name.endswith("square root"):
                        continue
                    found = (
                        np.ones(len(truth)) if ratio is None else sklearn.base.clone(ratio).fit(source, target).weights_
                    )
                    runs.append(
                        {
                            "set": set_name,
                            "strength": strength,
                            "seed": seed,
                            "method": name,
                            "error": float(np.mean((found - truth) ** 2)),
                            "rank_correlation": 0.0 if ratio is None else float(spearmanr(found, truth).statistic),
                        }
                    )
    methods = list(dict.fromkeys(run["method"] for run in runs))
    summary = {
        method: {
            str(strength): {
                key: float(np.mean([r[key] for r in runs if r["method"] == method and r["strength"] == strength]))
                for key in ("error", "rank_correlation")
            }
            for strength in (0.5, 1.5)
        }
        for method in methods
    }
    return {"set": "known ratio", "runs": runs, "summary": summary}


def known_shares() -> dict[str, Any]:
    """Label shift with known shares: the target's digits follow a drawn distribution of the classes."""
    x, y = load_digits(return_X_y=True)
    estimators = {
        "none": None,
        "BBSE, soft": BBSE(),
        "BBSE, hard": BBSE(soft=False),
        "RLLS": RLLS(),
        "likelihood": MaximumLikelihoodLabelShift(),
        "likelihood, calibrated": MaximumLikelihoodLabelShift(calibrator=BiasCorrectedTemperature()),
        "kernel means": TargetShiftWeights(),
    }
    runs = []
    for concentration in (0.5, 1.0, 10.0):
        for seed in range(10):
            rng = np.random.default_rng(seed)
            order = rng.permutation(len(x))
            train, held, pool = order[:500], order[500:900], order[900:]
            prior = rng.dirichlet(np.full(10, concentration))
            share = prior[y[pool]] / np.bincount(y[pool], minlength=10)[y[pool]]
            target = rng.choice(pool, 400, p=share / share.sum())
            actual = np.bincount(y[target], minlength=10) / 400
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=2000)).fit(x[train], y[train])
            P, Q = model.predict_proba(x[held]), model.predict_proba(x[target])
            scale = StandardScaler().fit(x)
            for name, estimator in estimators.items():
                if estimator is None:
                    found = np.bincount(y[held], minlength=10) / len(held)
                elif name == "kernel means":
                    found = estimator.fit(scale.transform(x[held]), y[held], scale.transform(x[target])).target_prior_
                else:
                    found = estimator.fit(P, y[held], Q).target_prior_
                off = float(np.abs(found - actual).sum())
                runs.append({"concentration": concentration, "seed": seed, "method": name, "error": off})
    summary = {
        method: {
            str(c): float(np.mean([r["error"] for r in runs if r["method"] == method and r["concentration"] == c]))
            for c in (0.5, 1.0, 10.0)
        }
        for method in estimators
    }
    return {"set": "known shares", "runs": runs, "summary": summary}


def main() -> None:
    warnings.simplefilter("ignore")
    OUT.mkdir(parents=True, exist_ok=True)
    real = {
        "heart disease": heart_disease,
        "amazon reviews": lambda: published(amazon_reviews, "amazon_reviews_400"),
        "office-caltech": lambda: published(office_caltech_surf, "office_caltech10_surf"),
        "digits": lambda: published(digits_jda, "digits_jda"),
    }
    jobs: dict[str, Callable[[], dict[str, Any]]] = {"known ratio": known_ratio, "known shares": known_shares}
    for name, load in real.items():
        jobs[name] = lambda name=name, load=load: real_domains(name, load)  # type: ignore[misc]
    for name in sys.argv[1:] or jobs:
        start = time.perf_counter()
        try:
            record = jobs[name]()
        except FileNotFoundError as problem:
            print(f"{name}: left out, {problem}; set DALIB_DATA")
            continue
        record["seconds"] = round(time.perf_counter() - start, 1)
        record["versions"] = {m.__name__: m.__version__ for m in (np, scipy, sklearn)}
        path = OUT / f"{name.replace(' ', '_').replace('-', '_')}.json"
        path.with_suffix(".tmp").write_text(json.dumps(record, indent=1) + "\n")
        path.with_suffix(".tmp").rename(path)
        print(name, f"{record['seconds']} s")
        for method, line in record["summary"].items():
            print(f"  {method:34s}", line)


if __name__ == "__main__":
    main()
