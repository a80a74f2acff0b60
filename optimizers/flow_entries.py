"""The optimizers that step along the gradient flow with several gradients."""

from types import MappingProxyType

from optrun.optimizers.entry import GRADIENT_CENTRALIZATION, LEARNING_RATE, Argument, Entry

_ARGUMENTS = (
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
    GRADIENT_CENTRALIZATION,
)
_ALIASES = MappingProxyType(
    {
        "lr": "learning_rate",
        "h": "learning_rate",
        "step_size": "learning_rate",
        "decay": "weight_decay",
        "wd": "weight_decay",
        "gc": "gradient_centralization",
        "use_gc": "gradient_centralization",
    }
)


def _flow(
    name: str, class_name: str, module: str, description: str, paper: str, *, evaluations: int
) -> Entry:
    return Entry(
        name=name,
        class_name=class_name,
        module=module,
        description=description,
        paper=paper,
        arguments=_ARGUMENTS,
        evaluations=evaluations,
        extra_weight_copies=0,
        aliases=_ALIASES,
        withheld=MappingProxyType(
            {
                "momentum": "the step follows the gradient flow, which has no momentum",
                "clipnorm": "a factor per variable bends the flow: use `global_clipnorm`",
                "clipvalue": "a bound per element bends the flow: use `global_clipnorm`",
                "inner_optimizer": f"{class_name} is a rule of its own; Lookahead can go around it",
            }
        ),
    )


FLOW_ENTRIES: tuple[Entry, ...] = (
    _flow(
        "heun",
        "Heun",
        "optrun.optimizers.heun",
        "Heun's second-order step along the gradient flow: two gradients per step.",
        "Heun 1900; Hairer, Nørsett & Wanner 1993, section II.1",
        evaluations=2,
    ),
    _flow(
        "rk23",
        "BogackiShampine",
        "optrun.optimizers.bogacki_shampine",
        "Bogacki and Shampine's third-order step along the gradient flow: three gradients per "
        "step.",
        "Bogacki & Shampine 1989, Applied Mathematics Letters 2 (4)",
        evaluations=3,
    ),
    _flow(
        "rk45",
        "DormandPrince",
        "optrun.optimizers.dormand_prince",
        "Dormand and Prince's fifth-order step along the gradient flow: six gradients per step.",
        "Dormand & Prince 1980, Journal of Computational and Applied Mathematics 6 (1)",
        evaluations=6,
    ),
)
