"""Dormand and Prince's fifth-order step, the one of RK45."""

import keras
from optrun.optimizers.runge_kutta import RungeKutta, row


@keras.saving.register_keras_serializable(package="optimizers")
class DormandPrince(RungeKutta):
    """Follows the gradient flow to fifth order, with six gradients of the same batch per step.

        Kᵢ = K(θ − h Σⱼ aᵢⱼ Kⱼ), j < i = 1 ... 6
        θ ← θ − h (35/384 K₁ + 500/1113 K₃ + 125/192 K₄ − 2187/6784 K₅ + 11/84 K₆)

    with K(θ) = ∇L(θ) + λθ, the paper's aᵢⱼ, and a step size h that is not adapted. On L = a θ² / 2
    a step multiplies θ by 1 + z + z² / 2 + z³ / 6 + z⁴ / 24 + z⁵ / 120 + z⁶ / 600, z = −h a: stable
    for h a < 3.31, which is 0.55 per gradient where gradient descent has 2. It shows what the
    gradient flow itself would do; do not expect it to train faster for the same gradients. The
    published method has a seventh gradient for its error estimate; it has no share in the step, so
    it is not taken.

    Args:
        learning_rate: the step size h, a float greater than 0 or a schedule.
        weight_decay: λ, 0 or more, as part of the flow; None for none.
        global_clipnorm: the largest norm of K₁, greater than 0, by one factor for the whole step;
            None for none.
        name: prefix of the names of the optimizer's variables.

    Raises:
        ValueError: if an argument is out of its range, and when trained outside `optimizers.Model`.

    Source: Dormand & Prince, "A family of embedded Runge-Kutta formulae", Journal of Computational
    and Applied Mathematics 6 (1), 1980, RK5(4)7M.

    Example:
        One step at h = 0.5 on θ² / 2 from 1; the flow itself ends at e^(−0.5) = 0.60653.

        >>> import keras
        >>> weight = keras.Variable(1.0)
        >>> rk45 = DormandPrince(0.5)
        >>> combined = rk45.step(
        ...     lambda probe: [weight.value] if probe is None else probe, [weight]
        ... )
        >>> with rk45.combined_gradient():
        ...     rk45.apply(combined, [weight])
        >>> print(f"{float(weight.value):.5f}")
        0.60654
    """

    evaluations = 6
    stages = (
        row("1/5"),
        row("3/40", "9/40"),
        row("44/45", "-56/15", "32/9"),
        row("19372/6561", "-25360/2187", "64448/6561", "-212/729"),
        row("9017/3168", "-355/33", "46732/5247", "49/176", "-5103/18656"),
    )
    shares = row("35/384", "0", "500/1113", "125/192", "-2187/6784", "11/84")
