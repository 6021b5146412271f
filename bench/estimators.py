"""microbp's nets beside scikit-learn's own: their scores on five data sets, and the time to fit.

    pip install -e '.[sklearn]'
    python bench/estimators.py

Both have the same settings, scikit-learn's defaults, behind a StandardScaler (targets of the regression are
scaled, too). Each of five seeds splits the data, a quarter to test, and draws the weights; the two take turns
on one core. What is printed are means over the seeds, with the standard deviation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from typing import Any

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before NumPy counts the cores

from sklearn import datasets, neural_network
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import microbp.sklearn

SETS = {
    "digits": datasets.load_digits, "breast cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine, "iris": datasets.load_iris, "diabetes": datasets.load_diabetes,
}  # fmt: skip


def estimator(library: Any, name: str, seed: int) -> Any:
    """A pipeline with the net of one of the two."""
    if name != "diabetes":
        return make_pipeline(StandardScaler(), library.MLPClassifier(random_state=seed))
    net = make_pipeline(StandardScaler(), library.MLPRegressor(random_state=seed))
    return TransformedTargetRegressor(net, transformer=StandardScaler())


def measured(name: str, seeds: int) -> dict[Any, list[tuple[float, float]]]:
    """For either library the score and the seconds of each seed."""
    X, y = SETS[name](return_X_y=True)
    found: dict[Any, list[tuple[float, float]]] = {microbp.sklearn: [], neural_network: []}
    for seed in range(seeds):
        stratify = None if name == "diabetes" else y
        train_X, test_X, train_y, test_y = train_test_split(
            X, y, test_size=0.25, random_state=seed, stratify=stratify
        )
        for library, results in found.items():
            net, start = estimator(library, name, seed), time.process_time()
            net.fit(train_X, train_y)
            results.append((net.score(test_X, test_y), time.process_time() - start))
    return found


def main() -> None:
    """Print a row for each data set."""
    parser = argparse.ArgumentParser(description="microbp's nets beside scikit-learn's")
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore", ConvergenceWarning)  # theirs, where 200 epochs are not enough for it
    print("| data | score, microbp | score, scikit-learn | seconds, microbp | seconds, scikit-learn |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in SETS:
        cells = [name]
        both = measured(name, seeds).values()
        for part, form in ((0, "{:.3f} ± {:.3f}"), (1, "{:.2f} ± {:.2f}")):
            for results in both:
                numbers = [each[part] for each in results]
                cells.append(form.format(statistics.mean(numbers), statistics.stdev(numbers)))
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
