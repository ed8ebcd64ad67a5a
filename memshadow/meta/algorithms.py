"""The ways to learn from many tasks how to learn the next one. One class a variant; knows no data and no trainer.

Each says what the outer loop learns (``init``), how a task is learned from its support set (``fit``), and what the
outer loop lowers (``outer``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from memshadow.errors import ConfigError, DataError
from memshadow.meta.losses import task_loss
from memshadow.meta.maml import Forward, Rates, adapt
from memshadow.meta.networks import Network, Params, affine, stacked
from memshadow.meta.tasks import TaskBatch

Fitted = Callable[[Float[Tensor, "t n d"]], Float[Tensor, "t n o"]]
"""What was learned of t tasks: inputs -> outputs."""


class Outer(NamedTuple):
    """What the outer loop lowers (its gradient is what counts), and the mean loss on the query sets, to be told."""

    loss: Tensor
    query_loss: Tensor


@runtime_checkable
class Algorithm(Protocol):
    """A way of meta-learning: one class, and one file in ``configs/algorithm`` a variant.

    ``fit`` is deterministic, differentiable in ``learned``, and changes nothing that it is given; a support set of
    several tasks is learned as each alone. ``steps`` of ``None`` means as many as in training.
    """

    name: str
    steps: int
    """Inner steps in training; 0 for what has none."""

    def init(self, network: Network, generator: torch.Generator) -> Params:
        """Return all that the outer loop learns: the network's weights, and the algorithm's own."""
        ...

    def fit(
        self, network: Network, learned: Params, support: Tensor, targets: Tensor, *, steps: int | None = None
    ) -> Fitted:
        """Learn each task from its support set."""
        ...

    def outer(self, network: Network, learned: Params, tasks: TaskBatch) -> Outer:
        """Return the loss of a batch of tasks."""
        ...

    def check(self, network: Network, tasks: TaskBatch) -> None:
        """Raise ConfigError where tasks like these cannot be learned with this network."""
        ...


class _Variant:
    """What most variants share: the outer loss is the query loss of what was fitted (Finn et al. 2017, eq. 2)."""

    name: str
    steps: int

    def init(self, network: Network, generator: torch.Generator) -> Params:
        """Return the network's new weights."""
        return network.init(generator)

    def fit(
        self, network: Network, learned: Params, support: Tensor, targets: Tensor, *, steps: int | None = None
    ) -> Fitted:
        """Learn each task from its support set."""
        raise NotImplementedError

    def check(self, network: Network, tasks: TaskBatch) -> None:
        """Raise ConfigError where the rows are not as wide as the inputs, or the last layer has too few outputs."""
        _check_width(network, tasks)
        if tasks.ways > network.outputs:
            raise ConfigError(
                f"a task has {tasks.ways} classes or numbers to predict, the network {network.outputs} outputs; "
                f"set learner.network.outputs={tasks.ways}."
            )

    def outer(self, network: Network, learned: Params, tasks: TaskBatch) -> Outer:
        """Return the mean query loss of the fitted tasks, twice: it is what is lowered."""
        fitted = self.fit(network, learned, tasks.support, tasks.support_targets)
        loss = task_loss(tasks.query_targets)(fitted(tasks.query_set), tasks.query_targets).mean()
        return Outer(loss, loss.detach())


class Maml(_Variant):
    """All weights adapt (Finn et al. 2017, arXiv 1703.03400, algorithm 2).

    Args:
        inner_lr: alpha.
        steps: inner steps in training.
        second_order: see :func:`~memshadow.meta.maml.adapt`.
    """

    name = "maml"

    def __init__(self, *, inner_lr: float, steps: int, second_order: bool) -> None:
        _check(inner_lr, steps)
        self.inner_lr, self.steps, self.second_order = inner_lr, steps, second_order

    def fit(
        self, network: Network, learned: Params, support: Tensor, targets: Tensor, *, steps: int | None = None
    ) -> Fitted:
        """Learn each task by gradient steps from the shared weights."""
        begin = stacked(self._weights(learned), len(support))
        adapted = self._adapted(network, begin, support, targets, rates=self._rates(learned), steps=steps)
        return lambda inputs: network(adapted, inputs)

    def _adapted(
        self,
        forward: Forward,
        begin: Params,
        support: Tensor,
        targets: Tensor,
        *,
        rates: Rates,
        steps: int | None,
        only: Collection[str] | None = None,
    ) -> Params:
        return adapt(
            forward,
            begin,
            support,
            targets,
            loss=task_loss(targets),
            rates=rates,
            steps=self.steps if steps is None else steps,
            second_order=self.second_order,
            only=only,
        )

    def _weights(self, learned: Params) -> Params:
        return learned

    def _rates(self, learned: Params) -> Rates:  # noqa: ARG002 - those that learn their rates read them there
        return self.inner_lr


class FirstOrderMaml(Maml):
    """FOMAML (Finn et al. 2017, sec. 5.2): the outer gradient is taken where the inner steps end."""

    name = "fomaml"

    def __init__(self, *, inner_lr: float, steps: int) -> None:
        super().__init__(inner_lr=inner_lr, steps=steps, second_order=False)


class Anil(Maml):
    """Only the last layer adapts, almost no inner loop (Raghu et al. 2020, arXiv 1909.09157, sec. 4)."""

    name = "anil"

    def fit(
        self, network: Network, learned: Params, support: Tensor, targets: Tensor, *, steps: int | None = None
    ) -> Fitted:
        """Learn each task's last layer; what it reads is worked out once."""
        weight, bias = network.head
        begin = stacked(learned, len(support))
        adapted = self._adapted(
            lambda params, rows: affine(rows, params[weight], params[bias]),
            begin,
            network.embed(begin, support),
            targets,
            rates=self.inner_lr,
            steps=steps,
            only=network.head,
        )
        return lambda inputs: network(adapted, inputs)


class MetaSgd(Maml):
    """Each weight has an inner rate of its own, learned with it (Li et al. 2017, arXiv 1707.09835, eq. 2 and 3).

    ``inner_lr`` is what all rates begin with.
    """

    name = "meta_sgd"
    _RATE = "rate_of_"

    def init(self, network: Network, generator: torch.Generator) -> Params:
        """Return the network's new weights, and a rate for each."""
        weights = network.init(generator)
        rates = {f"{self._RATE}{name}": torch.full_like(value, self.inner_lr) for name, value in weights.items()}
        return weights | rates

    def _weights(self, learned: Params) -> Params:
        return {name: value for name, value in learned.items() if not name.startswith(self._RATE)}

    def _rates(self, learned: Params) -> Params:
        return {name: learned[f"{self._RATE}{name}"] for name in self._weights(learned)}


class Reptile(Maml):
    """Move towards where SGD on a task ends (Nichol et al. 2018, arXiv 1803.02999, algorithm 2); no query set.

    What the outer loop lowers has the gradient theta - theta'. Support and query set together are the task's examples,
    as the paper takes all of them. The query loss told is that of a fit on the support set alone.
    """

    name = "reptile"

    def __init__(self, *, inner_lr: float, steps: int) -> None:
        super().__init__(inner_lr=inner_lr, steps=steps, second_order=False)

    def outer(self, network: Network, learned: Params, tasks: TaskBatch) -> Outer:
        """Return the loss whose gradient points from where the tasks end to the shared weights."""
        everything = torch.cat([tasks.support, tasks.query_set], 1)
        targets = torch.cat([tasks.support_targets, tasks.query_targets], 1)
        ends = adapt(
            network,
            stacked({name: value.detach() for name, value in learned.items()}, len(everything)),
            everything,
            targets,
            loss=task_loss(targets),
            rates=self.inner_lr,
            steps=self.steps,
            second_order=False,
        )
        away = [(learned[name] * (learned[name] - end.mean(0)).detach()).sum() for name, end in ends.items()]
        with torch.no_grad():
            told = super().outer(network, {name: value.detach() for name, value in learned.items()}, tasks)
        return Outer(torch.stack(away).sum(), told.query_loss)


class ProtoMaml(Maml):
    """The last layer begins at the prototypes of the support set (Triantafillou et al. 2020, arXiv 1903.03096, sec. 3).

    w_k = 2 c_k / scale, b_k = -|c_k|^2 / scale, c_k the mean of class k: the logits are then negative squared distances
    to the prototypes but for a term that all classes share. With 0 steps it is a prototypical network (Snell et al.
    2017, arXiv 1703.05175). Classes only; any number of them, whatever the network's outputs.

    Args:
        inner_lr: alpha.
        steps: inner steps in training.
        second_order: as for MAML.
        scale: what squared distances are divided by; learned.
    """

    name = "protomaml"

    def __init__(self, *, inner_lr: float, steps: int, second_order: bool, scale: float) -> None:
        super().__init__(inner_lr=inner_lr, steps=steps, second_order=second_order)
        if not 0 < scale < math.inf:
            raise ConfigError(f"{scale=}; needed: above 0.")
        self._scale = scale

    def init(self, network: Network, generator: torch.Generator) -> Params:
        """Return the weights before the last layer, and the logarithm of the scale."""
        body = _body(network, generator)
        return body | {"log_scale": torch.tensor(math.log(self._scale))}

    def check(self, network: Network, tasks: TaskBatch) -> None:
        """Raise ConfigError where the rows are not as wide as the inputs; the last layer is made for each task."""
        if tasks.support_targets.is_floating_point():
            raise ConfigError("numbers are to be predicted, and prototypes are of classes; take maml or ridge.")
        _check_width(network, tasks)

    def fit(
        self, network: Network, learned: Params, support: Tensor, targets: Tensor, *, steps: int | None = None
    ) -> Fitted:
        """Learn each task from its prototypes on."""
        body = stacked({name: value for name, value in learned.items() if name != "log_scale"}, len(support))
        center = prototypes(network.embed(body, support), targets)
        scale = learned["log_scale"].exp()
        weight, bias = network.head
        begin = body | {weight: 2 * center.mT / scale, bias: -center.square().sum(-1) / scale}
        adapted = self._adapted(network, begin, support, targets, rates=self.inner_lr, steps=steps)
        return lambda inputs: affine(network.embed(adapted, inputs), adapted[weight], adapted[bias])


class Ridge(_Variant):
    """The last layer is solved for, in closed form (Bertinetto et al. 2019, arXiv 1805.08136, R2D2, eq. 4 to 6).

    W = Z' (Z Z' + lambda I)^-1 Y, with Z ``[s h]`` what the support set embeds to and Y its targets (one-hot for
    classes); outputs are a Z W + b. lambda, a and b are learned with the network before the last layer. There are no
    inner steps: ``steps`` of 0 means an unfitted last layer, whose outputs are all b.
    """

    name = "ridge"
    steps = 1

    def __init__(self, *, weight: float, scale: float) -> None:
        if not (0 < weight < math.inf and 0 < scale < math.inf):
            raise ConfigError(f"{weight=}, {scale=}; needed: both above 0.")
        self._weight, self._scale = weight, scale

    def init(self, network: Network, generator: torch.Generator) -> Params:
        """Return the weights before the last layer, log lambda, log a and b."""
        body = _body(network, generator)
        own = {"log_weight": math.log(self._weight), "log_gain": math.log(self._scale), "offset": 0.0}
        return body | {name: torch.tensor(value) for name, value in own.items()}

    def check(self, network: Network, tasks: TaskBatch) -> None:
        """Raise ConfigError where the rows are not as wide as the inputs; the last layer is made for each task."""
        _check_width(network, tasks)

    def fit(
        self, network: Network, learned: Params, support: Tensor, targets: Tensor, *, steps: int | None = None
    ) -> Fitted:
        """Solve each task's last layer."""
        body = stacked(learned, len(support))
        rows = network.embed(body, support)
        wanted = targets if targets.is_floating_point() else one_hot(targets)
        gram = rows @ rows.mT + learned["log_weight"].exp() * torch.eye(rows.shape[1], device=rows.device)
        solved = rows.mT @ torch.linalg.solve(gram, wanted)
        if steps == 0:
            solved = torch.zeros_like(solved)
        gain, offset = learned["log_gain"].exp(), learned["offset"]
        return lambda inputs: gain * (network.embed(body, inputs) @ solved) + offset


def _body(network: Network, generator: torch.Generator) -> Params:
    """Return new weights of all but the last layer."""
    return {name: value for name, value in network.init(generator).items() if name not in network.head}


def one_hot(targets: Tensor) -> Float[Tensor, "t s w"]:
    """Return the classes as rows of 0 and 1; raises DataError where a task's support set lacks one."""
    coded = functional.one_hot(targets).float()
    if not bool(coded.sum(1).all()):
        task, label = (coded.sum(1) == 0).nonzero()[0].tolist()
        had = coded.shape[-1]
        raise DataError(f"the support set of task {task} has no example of class {label} (of {had}); each needs one.")
    return coded


def prototypes(rows: Float[Tensor, "t s h"], targets: Tensor) -> Float[Tensor, "t w h"]:
    """Return the mean of each class; raises DataError for numbers instead of classes, or a class without example."""
    if targets.is_floating_point():
        raise DataError("the targets are numbers; prototypes need classes, counted from 0.")
    coded = one_hot(targets)
    return coded.mT @ rows / coded.sum(1).unsqueeze(-1)


def _check_width(network: Network, tasks: TaskBatch) -> None:
    width = tasks.support.shape[-1]
    if width != network.inputs:
        raise ConfigError(
            f"the tasks are rows of {width} numbers, and the network reads {network.inputs}; "
            f"set learner.network.inputs={width}."
        )


def _check(inner_lr: float, steps: int) -> None:
    if not 0 < inner_lr < math.inf or steps < 0:
        raise ConfigError(f"{inner_lr=}, {steps=}; needed: a rate above 0, and 0 steps or more.")
