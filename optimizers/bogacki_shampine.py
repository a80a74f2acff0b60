"""Bogacki and Shampine's third-order step, the one of RK23."""

import keras
from optrun.optimizers.runge_kutta import RungeKutta, row


@keras.saving.register_keras_serializable(package="optimizers")
class BogackiShampine(RungeKutta):
    """Follows the gradient flow to third order, with three gradients of the same batch per step.

        K₁ = K(θ);   K₂ = K(θ − (h / 2) K₁);   K₃ = K(θ − (3 h / 4) K₂)
        θ ← θ − h (2 K₁ + 3 K₂ + 4 K₃) / 9

    with K(θ) = ∇L(θ) + λθ and a step size h that is not adapted. On L = a θ² / 2 a step multiplies
    θ by 1 + z + z² / 2 + z³ / 6, z = −h a: stable for h a < 2.51, which is 0.84 per gradient where
    gradient descent has 2. The published method has a fourth gradient for its error estimate; it is
    the first one of the next step, but only while the loss stays the same, which a new batch
    changes. It has no share in the step, so it is not taken.

    Args:
        learning_rate: the step size h, a float greater than 0 or a schedule.
        weight_decay: λ, 0 or more, as part of the flow; None for none.
        global_clipnorm: the largest norm of K₁, greater than 0, by one factor for the whole step;
            None for none.
        name: prefix of the names of the optimizer's variables.

    Raises:
        ValueError: if an argument is out of its range, and when trained outside `optimizers.Model`.

    Source: Bogacki & Shampine, "A 3(2) pair of Runge-Kutta formulas", Applied Mathematics Letters
    2 (4), 1989.

    Example:
        One step at h = 0.5 on θ² / 2 from 1: 1 − 0.5 + 0.125 − 0.0208.

        >>> import keras
        >>> weight = keras.Variable(1.0)
        >>> rk23 = BogackiShampine(0.5)
        >>> combined = rk23.step(
        ...     lambda probe: [weight.value] if probe is None else probe, [weight]
        ... )
        >>> with rk23.combined_gradient():
        ...     rk23.apply(combined, [weight])
        >>> print(f"{float(weight.value):.4f}")
        0.6042
    """

    evaluations = 3
    stages = (
        row("1/2"),
        row("0", "3/4"),
    )
    shares = row("2/9", "1/3", "4/9")
