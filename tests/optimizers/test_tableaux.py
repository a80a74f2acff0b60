"""The tableaux of the Runge-Kutta steps, in exact fractions."""

import itertools
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from optrun.optimizers import BogackiShampine, DormandPrince, Heun
from scipy.integrate._ivp import rk as scipy_rk


def rooted_trees(nodes):
    """Every rooted tree of that many nodes: a tree is the sorted tuple of its root's subtrees."""
    if nodes == 1:
        return {()}
    found = set()
    for first in range(1, nodes):
        for branch, rest in itertools.product(rooted_trees(first), rooted_trees(nodes - first)):
            found.add(tuple(sorted((branch, *rest))))
    return found


def size(tree):
    return 1 + sum(size(branch) for branch in tree)


def density(tree):
    """γ: the number of nodes times the densities of the branches."""
    return size(tree) * prod(density(branch) for branch in tree)


def elementary_weight(tree, rows, shares):
    """Σᵢ bᵢ Φᵢ, Φᵢ of a tree the product over its branches of Σⱼ aᵢⱼ Φⱼ(branch)."""

    def at_stage(tree, stage):
        return prod(
            (
                sum(a * at_stage(branch, j) for j, a in enumerate(rows[stage]) if a)
                for branch in tree
            ),
            start=Fraction(1),
        )

    return sum(share * at_stage(tree, stage) for stage, share in enumerate(shares))


def satisfied(method, order):
    """For each tree of that many nodes, whether its condition Σ b Φ = 1 / γ holds."""
    rows = ((), *method.stages)
    return [
        elementary_weight(tree, rows, method.shares) == Fraction(1, density(tree))
        for tree in sorted(rooted_trees(order))
    ]


def test_there_are_as_many_rooted_trees_as_cayley_counted():
    assert [len(rooted_trees(nodes)) for nodes in range(1, 7)] == [1, 1, 2, 4, 9, 20]


@pytest.mark.parametrize(("method", "order"), [(Heun, 2), (BogackiShampine, 3), (DormandPrince, 5)])
def test_the_order_conditions_hold_exactly_and_those_of_the_next_order_do_not(method, order):
    for up_to in range(1, order + 1):
        assert all(satisfied(method, up_to))
    assert not all(satisfied(method, order + 1))


@pytest.mark.parametrize(
    ("method", "nodes"),
    [
        (Heun, "0 1"),
        (BogackiShampine, "0 1/2 3/4"),
        (DormandPrince, "0 1/5 3/10 4/5 8/9 1"),
    ],
)
def test_each_stage_stands_at_the_published_time(method, nodes):
    times = [sum(row, start=Fraction(0)) for row in ((), *method.stages)]
    assert times == [Fraction(one) for one in nodes.split()]
    assert [len(row) for row in method.stages] == list(range(1, method.evaluations))
    assert len(method.shares) == method.evaluations
    assert all(isinstance(one, Fraction) for row in (*method.stages, method.shares) for one in row)


@pytest.mark.parametrize(
    ("method", "theirs"),
    [(BogackiShampine, scipy_rk.RK23), (DormandPrince, scipy_rk.RK45)],
)
def test_the_tableau_is_scipy_s(method, theirs):
    stages = len(method.shares)
    ours = np.zeros((stages, stages))
    for index, row in enumerate(method.stages, start=1):
        ours[index, : len(row)] = [float(one) for one in row]
    padded = np.zeros((stages, stages))
    padded[: theirs.A.shape[0], : theirs.A.shape[1]] = theirs.A
    np.testing.assert_allclose(ours, padded, rtol=1e-15)
    np.testing.assert_allclose([float(one) for one in method.shares], theirs.B, rtol=1e-15)
    np.testing.assert_allclose(ours.sum(axis=1), theirs.C, rtol=1e-14, atol=1e-14)
