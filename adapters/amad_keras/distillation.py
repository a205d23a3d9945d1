"""The loss for Keras's own Distiller: attention of the student against attention of the teacher."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import keras

from amad_core.arguments.maps import check_implementation, check_temperature
from amad_core.arguments.words import check_choice
from amad_core.training.layers import LAYER_MAPS, Layers
from amad_core.training.schedule import LinearRamp, Weight, check_weight
from amad_keras.backends import current_backend
from amad_keras.backends.pair_loss import attention_loss
from amad_keras.inside_distiller import Step, current_step, watch_distillers
from amad_keras.learned import add_learned, keys_of_pairs, learned_of, learned_shapes
from amad_keras.matching import KINDS, Pair, Selection, matched_layers


@keras.saving.register_keras_serializable(package="amad")
class AttentionDistillation(
    keras.layers.Layer,  # type: ignore[misc]
    keras.distillation.DistillationLoss,  # type: ignore[misc]
):
    """``weight · Σ_(layer pairs) L_attention``, for the stock ``keras.distillation.Distiller``.

    Both models stay as they are: functional, subclassed or of KerasHub, with the attention that
    they have. What they attend to is captured while the Distiller runs them, free of dropout. Keys
    that no query sees (padding) and their queries do not count.

    Args:
        variant: of AMAD: ``"mse"``, ``"kl"``, ``"token"`` or ``"js"``; ``"mse"`` where neither it
            nor ``method`` is given.
        method: in its place, any key of ``METHODS`` but ``"logits_kl"``. Those with parameters
            of their own (``amad_projected``, ``align_to_distill``) have a ``weight`` and a ``bias``
            for each pair of layers, made when the Distiller first runs or is loaded, and trained by
            its optimizer; they are weights of the Distiller, not of the student.
        temperature: τ of the softmax over student heads, for AMAD's variants.
        layers: which teacher layer teaches which student layer, as in ``layer_pairs``; within self-
            and cross-attention, and within each part (encoder, decoder) that both models have.
        teacher_layers, student_layers: only these: names, paths or globs, one or a list of them, in
            whose order they are paired; ``None``: all.
        kinds: ``"self"``, ``"cross"``, or both (default).
        weight: a number of at least 0, or a :class:`LinearRamp` over the optimizer's steps. It
            multiplies the Distiller's own ``distillation_loss_weights``.
        options: further keywords of the method (``eps``, ``relation_heads``), and for
            ``minilmv2_relation`` ``vectors``: those of ``("queries", "keys", "values")`` (default:
            all) whose relations are compared.
        implementation: of AMAD's loss, as in ``amad_loss``.
        name: of this loss, and of its metric: the loss before ``weight``.
        layer_options: ``dtype`` and ``trainable``, as of every Keras layer.

    Raises:
        TypeError, ValueError: an option that the method would refuse, an unknown method or one of
            logits; when a Distiller is compiled, a ``student_loss_weight`` of 1, with which it
            skips all distillation losses; when it runs, layers that fit nothing, values or an
            output projection that cannot be followed, or lengths that differ.
        RuntimeError: a Keras backend that is not supported; when a Distiller runs, a model without
            attention.

    On the backend TensorFlow it computes with ``amad_tensorflow``, on PyTorch with ``amad_torch``,
    on JAX in ``keras.ops``.

    Examples:
        >>> def model(heads):
        ...     inputs = keras.Input((6, 8))
        ...     hidden = keras.layers.MultiHeadAttention(heads, 4)(inputs, inputs)
        ...     hidden = keras.layers.GlobalAveragePooling1D()(hidden)
        ...     return keras.Model(inputs, keras.layers.Dense(3)(hidden))
        >>> distiller = keras.distillation.Distiller(
        ...     teacher=model(4),
        ...     student=model(2),
        ...     distillation_losses=[AttentionDistillation(variant="kl", temperature=0.1)],
        ... )
        >>> distiller.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> x, y = keras.random.normal((8, 6, 8)), keras.ops.zeros((8,), "int32")
        >>> sorted(distiller.fit(x, y, verbose=0).history)[:2]
        ['attention', 'distillation_loss']
    """

    def __init__(
        self,
        *,
        variant: str | None = None,
        method: str | None = None,
        temperature: float = 1.0,
        layers: Layers = "uniform",
        teacher_layers: str | Sequence[str] | None = None,
        student_layers: str | Sequence[str] | None = None,
        kinds: str | Sequence[str] = KINDS,
        weight: Weight | Mapping[str, Any] = 1.0,
        options: Mapping[str, Any] | None = None,
        implementation: str = "auto",
        name: str = "attention",
        **layer_options: Any,
    ) -> None:
        super().__init__(name=name, **layer_options)
        if variant is not None and method is not None:
            raise ValueError(
                f"give variant or method; got both, {variant!r} and {method!r} (the variant 'kl' "
                "is the method 'amad_kl')"
            )
        self.method = f"amad_{variant or 'mse'}" if method is None else method
        _check_method(self.method)
        check_temperature(temperature)
        self.temperature = temperature
        self.selection = Selection(
            _checked_layers(layers),
            _names("teacher_layers", teacher_layers),
            _names("student_layers", student_layers),
            _kinds(kinds),
        )
        if isinstance(weight, Mapping):
            weight = LinearRamp(**weight)
        if not isinstance(weight, LinearRamp):
            check_weight("weight", weight)
        self.weight = weight
        self.options = dict(options or {})
        check_implementation(implementation, self.method.removeprefix("amad_"))
        if implementation != "auto" and not self.method.startswith("amad_"):
            raise ValueError(
                f"implementation is of AMAD's loss; got {implementation!r} for {self.method!r}"
            )
        self.implementation = implementation
        self.metric = keras.metrics.Mean(name=name)
        self.steps = None
        if isinstance(weight, LinearRamp) and keras.config.backend() == "jax":
            # A step that JAX traces is not given the optimizer's variables: this one counts along.
            self.steps = self.add_weight(
                name="steps", dtype="int32", initializer="zeros", trainable=False
            )
        self.learned: dict[str, list[Any]] = {}
        self.built = not current_backend().METHODS[self.method].learned

    def validate_model_compatibility(self, teacher: Any, student: Any) -> None:
        """A Distiller has taken this loss, and is watched from now on."""
        watch_distillers(self)

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        """Outputs may differ: they are not compared."""

    def make_learned(self, teacher: Sequence[Any], student: Sequence[Any]) -> None:
        """Parameters for every pair of these captured layers, if the method has any and they are
        not there yet."""
        if self.built:
            return
        pairs = matched_layers(teacher, student, self.selection)
        for key, pair in zip(keys_of_pairs(pairs), pairs, strict=True):
            add_learned(self, self.method, key, learned_shapes(self.method, pair))
        self.built = True

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes of the parameters, as far as there are any."""
        shapes = {
            key: [list(variable.shape) for variable in pair] for key, pair in self.learned.items()
        }
        return {"learned": shapes} if shapes else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Make the parameters of a loss that was saved."""
        for key, (weight, bias) in config["learned"].items():
            add_learned(self, self.method, key, (tuple(weight), tuple(bias)))
        self.built = True

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **options: Any) -> Any:
        """What the Distiller adds, a scalar; ``metric`` gets it before ``weight``."""
        step = current_step()
        if step is None:
            raise RuntimeError(
                "AttentionDistillation must be one of the distillation_losses of a "
                "keras.distillation.Distiller, which computes it: by itself it sees no attention"
            )
        backend = current_backend()
        teacher, student = (list(layers.values()) for layers in (step.teacher, step.student))
        pairs = matched_layers(teacher, student, self.selection)
        losses = []
        for key, pair in zip(keys_of_pairs(pairs), pairs, strict=True):
            try:
                options = self._options_for(pair, key)
                losses.append(attention_loss(backend, pair, student, self.method, options))
            except (TypeError, ValueError) as error:
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"{pair.name}: {error}") from error
        loss = keras.ops.sum(keras.ops.stack(losses))
        self.metric.update_state(loss)
        weighted = backend.weighted(loss, self.weight, self._steps_so_far(step))
        return backend.replica_share(weighted)

    def _steps_so_far(self, step: Step) -> Any:
        if self.steps is None:
            optimizer = getattr(step.distiller, "optimizer", None)
            return None if optimizer is None else optimizer.iterations
        steps = keras.ops.convert_to_tensor(self.steps)
        if step.is_training:
            self.steps.assign(steps + 1)
        return steps

    def _options_for(self, pair: Pair, key: str) -> dict[str, Any]:
        options = dict(self.options)
        if self.method.startswith("amad_"):
            options = {"temperature": self.temperature, **options}
        if self.implementation != "auto":
            options["implementation"] = self.implementation
        if current_backend().METHODS[self.method].learned:
            options |= learned_of(self, pair, key)
        return options

    def get_config(self) -> dict[str, Any]:
        """What makes the same loss again."""
        ramp = isinstance(self.weight, LinearRamp)
        layers, teacher_layers, student_layers, kinds = self.selection
        options = {
            "method": self.method,
            "temperature": self.temperature,
            "layers": layers if isinstance(layers, str) else [list(pair) for pair in layers],
            "teacher_layers": teacher_layers and list(teacher_layers),
            "student_layers": student_layers and list(student_layers),
            "kinds": list(kinds),
            "weight": asdict(self.weight) if ramp else self.weight,  # type: ignore[arg-type]
            "options": self.options,
            "implementation": self.implementation,
        }
        return {**super().get_config(), **options}


def _check_method(name: str) -> None:
    methods = current_backend().METHODS
    if keras.config.backend() == "jax" and isinstance(name, str) and name not in methods:
        raise ValueError(
            f"method must be one of {', '.join(methods)} on Keras's JAX backend; got {name!r} "
            "(methods with parameters, and those that AMAD is compared with, are computed on the "
            "other backends: set KERAS_BACKEND to 'tensorflow' or 'torch')"
        )
    check_choice("method", name, methods)
    if methods[name].inputs == "logits":
        raise ValueError(
            f"method must compare attention; {name!r} compares logits, as "
            "keras.distillation.LogitsDistillation does"
        )


def _checked_layers(layers: Layers) -> Layers:
    if isinstance(layers, str):
        check_choice("layers", layers, LAYER_MAPS)
        return layers
    return tuple((teacher, student) for teacher, student in layers)


def _names(argument: str, names: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    found = (names,) if isinstance(names, str) else tuple(names)
    if not found or not all(isinstance(name, str) for name in found):
        raise ValueError(f"{argument} must be a name or a list of names; got {names!r}")
    return found


def _kinds(kinds: str | Sequence[str]) -> tuple[str, ...]:
    found = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not found:
        raise ValueError("kinds must be 'self', 'cross' or both; got none")
    for kind in found:
        check_choice("kinds", kind, KINDS)
    return found
