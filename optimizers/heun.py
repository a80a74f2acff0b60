"""Heun's method: a step along the mean of the slopes at its two ends."""

import keras
from optrun.optimizers.runge_kutta import RungeKutta, row


@keras.saving.register_keras_serializable(package="optimizers")
class Heun(RungeKutta):
    """Follows the gradient flow to second order, with two gradients of the same batch per step.

        K₁ = K(θ);   K₂ = K(θ − h K₁);   θ ← θ − (h / 2) (K₁ + K₂)

    with K(θ) = ∇L(θ) + λθ. On L = a θ² / 2 a step multiplies θ by 1 + z + z² / 2, z = −h a: stable
    for h a < 2 as gradient descent is, at twice the cost, and never shrinking θ below half. It
    follows the flow more closely; do not expect it to train faster for the same gradients.

    Args:
        learning_rate: the step size h, a float greater than 0 or a schedule.
        weight_decay: λ, 0 or more, as part of the flow; None for none.
        global_clipnorm: the largest norm of K₁, greater than 0, by one factor for the whole step;
            None for none.
        name: prefix of the names of the optimizer's variables.

    Raises:
        ValueError: if an argument is out of its range, and when trained outside `optimizers.Model`.

    Source: Heun, "Neue Methoden zur approximativen Integration", 1900; Hairer, Nørsett & Wanner,
    "Solving Ordinary Differential Equations I", 1993, section II.1.

    Example:
        One step at h = 0.5 on θ² / 2 from 1: 1 − 0.5 + 0.125.

        >>> import keras
        >>> weight = keras.Variable(1.0)
        >>> heun = Heun(0.5)
        >>> combined = heun.step(
        ...     lambda probe: [weight.value] if probe is None else probe, [weight]
        ... )
        >>> with heun.combined_gradient():
        ...     heun.apply(combined, [weight])
        >>> float(weight.value)
        0.625
    """

    evaluations = 2
    stages = (row("1"),)
    shares = row("1/2", "1/2")
