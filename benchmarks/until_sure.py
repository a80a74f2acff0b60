"""Seeds until sure: how often a study concludes, falsely and rightly, and after how many.

    python benchmarks/until_sure.py [STUDIES]

Differences of pairs are drawn, not trained: normal, heavy-tailed (Student's t with 2 degrees of
freedom) and whole photos of 308, with 1, 4 and 9 candidates that share a baseline.
"""

import sys
from collections.abc import Callable

import numpy as np
from optrun.runner.verdict import sequential
from optrun.runner.verdict.conclusions import ALPHA
from optrun.runner.verdict.sequential import Answer, answers, looks_until
from scipy.stats import ttest_1samp

MOST = 32
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
KINDS: dict[str, Draw] = {
    "normal": lambda generator, shape: generator.normal(0, 1, shape),
    "heavy-tailed": lambda generator, shape: generator.standard_t(2, shape),
    "of 308 photos": lambda generator, shape: generator.binomial(308, 0.95, shape).astype(float),
}


def study(differences: np.ndarray) -> dict[str, Answer]:
    columns = {str(one): dict(enumerate(column)) for one, column in enumerate(differences.T)}
    return answers(columns, range(MOST), looks_until(MOST))[0]


def main(studies: int) -> None:
    """Print each share with the number of studies behind it."""
    # The intervals take most of the time, and decide nothing.
    sequential._interval = lambda *_, **__: None  # type: ignore[assignment]
    generator = np.random.default_rng(1)
    print(f"Without a difference conclude of {studies:,} studies, to {MOST} seeds (5 % allowed):")
    for kind, draw in KINDS.items():
        for candidates in (1, 4, 9):
            false = 0
            for _ in range(studies):
                values = draw(generator, (MOST, candidates + 1))
                found = study(values[:, 1:] - values[:, :1])
                false += any(one.is_settled for one in found.values())
            print(
                f"  {kind:<14} {candidates} candidates   {100 * false / studies:.1f} %", flush=True
            )
    values = generator.normal(0, 1, (studies, MOST))
    naive = np.zeros(studies, np.bool_)
    for pairs in range(3, MOST + 1):
        naive |= ttest_1samp(values[:, :pairs], 0, axis=1).pvalue <= ALPHA
    print(f"  a t-test, looked at after every pair from 3 on: {100 * naive.mean():.0f} %")
    smallest = sequential.smallest_difference_found(MOST)
    print("With a difference, in standard deviations of a pair's:")
    for shift in (0.5, smallest, 0.8, 1.0):
        found = [study(generator.normal(shift, 1, (MOST, 1)))["0"] for _ in range(studies)]
        share = sum(one.is_settled for one in found) / studies
        mean = np.mean([len(one.seeds) for one in found])
        print(f"  {shift:.2f}   {100 * share:.1f} % conclude, after {mean:.1f} seeds on average")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
