"""What seeds until sure are worth: how often a study concludes, falsely and rightly, and after how many.

    python benchmarks/until_sure.py [STUDIES]

Differences of pairs are drawn, not trained: normal, heavy-tailed (Student's t with 2 degrees of
freedom) and whole photos of 308, with 1, 4 and 9 candidates that share a baseline.
"""

import sys
from collections.abc import Callable

import numpy as np
from optrun.runner.verdict import permutation, sequential
from optrun.runner.verdict.sequential import Answer, answers, looks_until

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
    sequential._interval = lambda *_, **__: None  # type: ignore[assignment] # takes most of the time
    generator = np.random.default_rng(1)
    print(
        f"Without a difference, of {studies:,} studies to {MOST} seeds conclude (5 % are allowed):"
    )
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
    naive = 0
    for _ in range(few := max(1, studies // 10)):
        values = generator.normal(0, 1, MOST).tolist()
        naive += any(permutation.paired(values[:n]).p_value() <= 0.05 for n in range(6, MOST + 1))
    print(f"  looking after every seed with the test for one look: {100 * naive / few:.0f} %")
    smallest = sequential.smallest_difference_found(MOST)
    print("With a difference, in standard deviations of a pair's:")
    for shift in (0.5, smallest, 0.8, 1.0):
        found = [study(generator.normal(shift, 1, (MOST, 1)))["0"] for _ in range(studies)]
        share = sum(one.is_settled for one in found) / studies
        mean = np.mean([len(one.seeds) for one in found])
        print(f"  {shift:.2f}   {100 * share:.1f} % conclude, after {mean:.1f} seeds on average")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
