"""Follows scores from the product of queries and keys to the softmax, and probabilities on."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from amad_keras.capture.arrangement import puts_heads_first
from amad_keras.capture.axes import Axes, stated_heads
from amad_keras.capture.fused import Fused, axes_of_outputs
from amad_keras.capture.operation import Operation, running_layers
from amad_keras.capture.origins import Origin
from amad_keras.capture.probabilities import (
    SPREAD,
    Probabilities,
    Traced,
    ends,
    is_still_maps,
    meets_values,
    mixes_heads,
)
from amad_keras.capture.products import BATCHED, operands_of, transposed_einsum
from amad_keras.capture.projection import Heads, heads_after
from amad_keras.capture.repeats import Repeat, repeat_after
from amad_keras.capture.scores import CASTS, SHAPES, Scores, number_of, through
from amad_keras.capture.tables import Table
from amad_keras.capture.tensors import Tensor, rank
from amad_keras.capture.unmet import Unmet, axes_of_several, sums
from amad_keras.capture.values import Product, every, product_with_values

_MOVED = {*CASTS, *SHAPES, "Transpose"}
_Told = Callable[[Probabilities, tuple[Any, ...]], None]


class Following:
    """Takes operations one by one; calls ``found(probabilities, layers)`` for every attention, and
    ``refused`` for what had been taken for one.

    Attention is a softmax of what meets a product: probabilities that are summed over keys.
    """

    def __init__(self, found: _Told, refused: _Told) -> None:
        self._found, self._refused = found, refused
        self._origins, self._factors, self._repeats = Table(), Table(), Table()
        self._traced, self._probabilities = Table(), Table()
        self._axes, self._heads, self._heads_first = Table(), Table(), Table()
        self._einsums = Table()
        self._softmaxes, self.unmet = 0, Unmet()

    def __call__(self, operation: Operation) -> None:
        """One operation has run."""
        layers = tuple(running_layers())
        origins = tuple(self._origin(one, layers) for one in operation.inputs)
        made = Origin.of(operation, origins, layers)
        for output in operation.outputs:
            self._origins[output] = made
        if not layers or not operation.outputs or not operation.inputs:
            return
        output = operation.outputs[0]
        self._follow_heads(operation)
        if operation.type == "FusedAttention":
            self._fused(operation, origins, layers)
        elif operation.type == "Softmax":
            self._softmax(operation, origins, layers)
        else:
            self._refuse_linear(operation, origins, layers)
            is_met = self._follow_probabilities(operation, origins, layers)
            is_met = self.unmet(operation, layers) or is_met
            if (rank(output) or 0) > 2:
                self._follow_scores(operation, origins, layers)
                self._follow_unmet(operation, origins, layers, is_met)
                self._follow_vectors(operation, layers)

    def _softmax(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> None:
        output, axes = operation.outputs[0], rank(operation.outputs[0]) or 0
        if axes < 3:
            return
        axis = operation.attributes.get("axis", -1) % axes
        order = [*(one for one in range(axes) if one != axis), axis]
        traced: Traced | None = self._traced[operation.inputs[0]]
        if traced is not None and isinstance(traced.scores, Scores):
            scores = traced.scores.settled(axis, axes)
            traced = replace(traced, scores=scores)
            order = order if scores is None else list(scores.order or order)
        if traced is None and (meeting := origins[0].meeting()) is not None:
            traced = Traced(None, meeting.inputs[0], meeting.inputs[1], meeting.layers)
        self._softmaxes += 1
        self.unmet.softmax(operation.inputs[0], self._softmaxes, layers)
        self._probabilities[output] = (Probabilities(output, traced, order, self._softmaxes),)
        self._axes[output] = Axes.of_maps(output, layers[-1].caller, order)

    def _fused(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> None:
        fused = Fused.of(operation, [self._repeats[one] for one in operation.inputs])
        traced = Traced(fused, origins[0], origins[1], layers)
        found = Probabilities(None, traced, is_found=True, values=fused.values)
        axes = axes_of_outputs(operation)
        if axes is not None:
            self._heads[operation.outputs[0]] = Heads(axes, found.weights)
        self._found(found, layers)

    def _origin(self, tensor: Tensor, layers: tuple[Any, ...]) -> Origin:
        found = self._origins[tensor]
        if found is None:
            found = self._origins[tensor] = Origin.outside(tensor, layers)
        return found  # type: ignore[no-any-return]

    def _follow_probabilities(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> bool:
        """Whether they met values in this operation."""
        output, is_met = operation.outputs[0], False
        for place, tensor in enumerate(operation.inputs):
            known: list[Probabilities] = [
                one for one in self._probabilities[tensor] or () if not one.is_found
            ]
            if not known:
                continue
            axes: Axes | None = self._axes[tensor]
            product = self._product_with_values(operation, place, axes)
            if product is not None or meets_values(operation, place, axes):
                for one in known:
                    if one.is_found:  # by this same operation, of which it is both sides
                        continue
                    one.is_found = is_met = True
                    self.unmet.met(one.number)
                    if product is not None and len(known) == 1:
                        one.values = product.values
                        pooled = one if one.is_pooling(layers) else None
                        self._heads[output] = Heads(product.axes, one.weights, pooled)
                    self._found(one, layers)
            elif ends(operation, place, axes):
                continue
            elif operation.type in SPREAD or mixes_heads(operation, place, axes, known):
                for one in known:
                    if tensor is one.maps and is_still_maps(operation, place, origins, one):
                        one.maps = output
                before = self._probabilities[output] or ()
                new = [one for one in known if all(one is not other for other in before)]
                self._probabilities[output] = (*before, *new)
                self._axes[output] = axes and axes.after(operation, place)
        return is_met

    def _follow_unmet(
        self,
        operation: Operation,
        origins: tuple[Origin, ...],
        layers: tuple[Any, ...],
        is_met: bool,
    ) -> None:
        """A product of activations that no probabilities took part in."""
        is_product = operation.type in (*BATCHED, "Einsum")
        if is_met or not is_product or not all(one.is_activation for one in origins):
            return
        operands = operands_of(operation, stated_heads(layers[-1].caller))
        if operands is None:
            axes = axes_of_several(operation)
        else:
            axes = Axes.of_maps(operation.outputs[0], layers[-1].caller, operands.of_scores)
        self.unmet.start(operation.outputs[0], axes)

    def _product_with_values(
        self, operation: Operation, place: int, axes: Axes | None
    ) -> Product | None:
        is_product = operation.type in (*BATCHED, "Einsum")
        if axes is None or not is_product or len(operation.inputs) != 2:
            return None
        repeat: Repeat | None = self._repeats[operation.inputs[1 - place]]
        return product_with_values(operation, place, axes, repeat)

    def _follow_heads(self, operation: Operation) -> None:
        for place, tensor in enumerate(operation.inputs):
            heads: Heads | None = self._heads[tensor]
            if heads is not None:
                after = heads_after(heads, operation, place)
                if after is not None:
                    self._heads[operation.outputs[0]] = after

    def _follow_scores(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> None:
        output = operation.outputs[0]
        started = self._started(operation, origins, layers)
        if started is not None:
            self._traced[output] = started
            return
        known: dict[int, Traced] = {
            place: traced
            for place, one in enumerate(operation.inputs)
            if (traced := self._traced[one]) is not None
        }
        for place, traced in known.items():
            after = None
            if isinstance(traced.scores, Scores):
                others = {
                    other: one.scores
                    for other, one in known.items()
                    if other != place and isinstance(one.scores, Scores)
                    if one.queries is traced.queries
                }
                after = through(traced.scores, operation, place, others)
            if after is not None:
                self._traced[output] = replace(traced, scores=after)
                return
        if known:  # cannot be followed, but where they come from is known
            self._traced[output] = replace(next(iter(known.values())), scores=None)

    def _started(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> Traced | None:
        """A product of queries and keys, and where it is an einsum, each transpose of it anew.

        The last axes say which are queries and keys, and JAX often brings an einsum's order of
        axes about by a transpose of its own.
        """
        known: tuple[Operation, tuple[Any, ...]] | None = None
        if operation.type == "Einsum":
            known = operation._replace(outputs=()), layers  # which it would keep alive
        elif operation.type == "Transpose" or operation.type in CASTS:
            known = self._einsums[operation.inputs[0]]
        einsum = None if known is None else transposed_einsum(known[0], operation)
        # None, too: an operation may have written into the einsum that was known here.
        self._einsums[operation.outputs[0]] = known and einsum and (einsum, known[1])
        if known is not None and einsum is not None:
            sources = tuple(self._origin(one, known[1]) for one in einsum.inputs)
            return self._product(einsum, sources, known[1])
        return self._product(operation, origins, layers) if operation.type in BATCHED else None

    def _product(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> Traced | None:
        operands = operands_of(operation, stated_heads(layers[-1].caller))
        if operands is None:
            return None
        queries, keys = (origins[place] for place in operands.places)
        is_heads_first = any(self._heads_first[one] for one in operation.inputs)
        if is_heads_first or not operands.is_sure:
            return Traced(None, queries, keys, layers, operands.is_sure, is_heads_first)
        scale, vectors = 1.0, []
        sides = (operands.queries, operands.keys)
        for side, place, order in zip(sides, operands.places, operands.orders, strict=True):
            repeat: Repeat | None = self._repeats[operation.inputs[place]]
            if repeat is not None and len(order) == 4 and order.index(repeat.axis) == 1:
                side = side.then(partial(every, repeat.times))
            factor = self._factors[operation.inputs[place]]
            if factor is not None:  # Many layers scale queries before they meet the keys.
                side = side.then(partial(_divided, factor))
                scale *= factor
            vectors.append(side)
        order = operands.of_scores
        scores = Scores(
            vectors[0], vectors[1], scale, order=None if order == sorted(order) else tuple(order)
        )
        return Traced(scores, queries, keys, layers)

    def _refuse_linear(
        self, operation: Operation, origins: tuple[Origin, ...], layers: tuple[Any, ...]
    ) -> None:
        """Softmaxes over features, or over tokens for each feature, of linear attention."""
        if operation.type not in (*BATCHED, "Einsum") or len(origins) != 2:
            return
        for place, tensor in enumerate(operation.inputs):
            heads: Heads | None = self._heads[tensor]
            others = self._probabilities[operation.inputs[1 - place]] or ()
            if heads is None or heads.pooled is None or not origins[1 - place].is_activation:
                continue
            if all(one.is_pooling(layers) for one in others) and sums(operation, place, heads.axes):
                for one in (heads.pooled, *others):
                    one.is_found = True
                    self._refused(one, layers)

    def _follow_vectors(self, operation: Operation, layers: tuple[Any, ...]) -> None:
        known = [self._heads_first[one] for one in operation.inputs]
        if puts_heads_first(operation, known, stated_heads(layers[-1].caller)):
            self._heads_first[operation.outputs[0]] = True
        repeat = repeat_after(operation, self._repeats[operation.inputs[0]])
        if repeat is not None:
            self._repeats[operation.outputs[0]] = repeat
        factor = None
        if operation.type in _MOVED:
            factor = self._factors[operation.inputs[0]]
        elif operation.type == "Mul":
            factor = next(filter(None, map(_positive, operation.inputs)), None)
        elif operation.type == "RealDiv" and (by := _positive(operation.inputs[1])):
            factor = 1 / by
        if factor is not None:
            self._factors[operation.outputs[0]] = factor


def _divided(factor: float, vectors: Tensor) -> Tensor:
    return vectors / factor


def _positive(tensor: Tensor) -> float | None:
    number = number_of(tensor)
    return number if number is not None and number > 0 else None
