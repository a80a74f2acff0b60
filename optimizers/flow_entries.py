"""The optimizers that step along the gradient flow with several gradients."""

from types import MappingProxyType

from optimizers.entry import LEARNING_RATE, Argument, Entry

FLOW_ENTRIES: tuple[Entry, ...] = (
    Entry(
        name="heun",
        class_name="Heun",
        module="optimizers.heun",
        description="Heun's second-order step along the gradient flow: two gradients per step.",
        paper="Heun 1900; Hairer, Nørsett & Wanner 1993, section II.1",
        arguments=(
            LEARNING_RATE,
            Argument(
                "weight_decay",
                "float",
                "decay of the weights, part of the flow: λθ is added to each gradient",
                None,
                optional=True,
                minimum=0,
            ),
            Argument(
                "global_clipnorm",
                "float",
                "largest norm of the first gradient; one factor for the whole step",
                None,
                optional=True,
                minimum=0,
                minimum_excluded=True,
            ),
        ),
        evaluations=2,
        extra_weight_copies=0,
        aliases=MappingProxyType(
            {
                "lr": "learning_rate",
                "h": "learning_rate",
                "step_size": "learning_rate",
                "decay": "weight_decay",
                "wd": "weight_decay",
            }
        ),
        withheld=MappingProxyType(
            {
                "momentum": "the step follows the gradient flow, which has no momentum",
                "clipnorm": "a factor per variable bends the flow: use `global_clipnorm`",
                "clipvalue": "a bound per element bends the flow: use `global_clipnorm`",
                "inner_optimizer": "Heun is a rule of its own; Lookahead can go around it",
            }
        ),
    ),
)
