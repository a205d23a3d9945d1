"""A port that can be asked: NumPy arrays in, an answer out, whatever framework is between."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from amad_core.arguments.extras import install_hint
from amad_core.attention.inputs import broadcast_mask
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.ports.answer import Answer, PortError, in_short
from amad_core.conformance.ports.call_style import CallStyle, FittedCall, fit
from amad_core.conformance.ports.detection import candidates
from amad_core.conformance.ports.frameworks import Framework, RawAnswer, Request, load_framework
from amad_core.conformance.ports.loading import as_function, gpu_hint, load_function

_OWN_FOLDER = str(Path(__file__).resolve().parent)


@dataclass(frozen=True)
class Description:
    """What is known of a port before any check.

    Attributes:
        name: the target as given, or the function's name.
        framework: ``"numpy"``, ``"torch"``, ``"tensorflow"`` or ``"jax"``.
        reason: why this framework.
        versions: of the framework.
        accepts: the options of the loss that the port takes as arguments, sorted.
        dtypes: the dtypes to try; the first is the one that correctness is judged in.
        remark: how arguments were matched where it is not obvious; may be empty.
    """

    name: str
    framework: str
    reason: str
    versions: str
    accepts: tuple[str, ...]
    dtypes: tuple[str, ...]
    remark: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Port(Protocol):
    """Anything that answers cases: in this process, or in another."""

    description: Description

    def answer(self, case: Case, dtype: str, gradients: bool) -> Answer:
        """Call the port once, with the maps of ``case`` cast to ``dtype``."""

    def close(self) -> None:
        """Let go of what the port holds; it answers no more."""


class LocalPort:
    """A port called in this process."""

    def __init__(
        self,
        function: Callable[..., Any],
        framework: Framework,
        fitted: FittedCall,
        description: Description,
    ) -> None:
        self.description = description
        self._function, self._framework, self._fitted = function, framework, fitted

    def answer(self, case: Case, dtype: str, gradients: bool) -> Answer:
        """Call the port once; whatever it raises is an answer too."""
        request, passed = self._request(case, dtype)
        evaluate = self._framework.differentiate if gradients else self._framework.evaluate
        try:
            raw = evaluate(request)
            return self._answer(raw, case, dtype, self._changed(passed, case, dtype))
        except PortError as error:
            return Answer(None, dtype=dtype, trouble=error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a port may raise SystemExit and worse
            return Answer(None, dtype=dtype, trouble=_trouble(error))

    def close(self) -> None:
        """Nothing to let go of."""

    def _request(self, case: Case, dtype: str) -> tuple[Request, dict[str, Any]]:
        """The call to make, and a place where it leaves the tensors that it passed."""
        tensors = self._tensors(case, dtype)
        options = (case.variant, case.temperature, case.reduction, case.eps)
        passed: dict[str, Any] = {}

        def call(teacher: Any, student: Any, others: Mapping[str, Any]) -> Any:
            given = {**others, "teacher": teacher, "student": student}
            if self._framework.mutable:
                passed.update(given)
            return self._call(given, options)

        maps = tensors.pop("teacher"), tensors.pop("student")
        return Request(call, *maps, tensors, options), passed

    def _tensors(self, case: Case, dtype: str) -> dict[str, Any]:
        tensor = self._framework.tensor
        arrays = {name: getattr(case, name) for name in ("teacher", "student", "weight", "bias")}
        tensors = {
            name: tensor(array, dtype) for name, array in arrays.items() if array is not None
        }
        if case.mask is not None or self._fitted.needs_mask:
            tensors["mask"] = tensor(broadcast_mask(case.mask, _one_layer(case)), "bool")
        return tensors

    def _call(self, tensors: Mapping[str, Any], options: tuple[str, float, str, float]) -> Any:
        given = dict(tensors)
        if self._fitted.call_style.layers:
            # Maps of several layers come stacked along a first, fifth axis.
            given |= {
                name: list(given[name]) if len(given[name].shape) == 5 else [given[name]]
                for name in ("teacher", "student")
            }
        *named, eps = options
        given |= dict(zip(("variant", "temperature", "reduction"), named, strict=True))
        if eps:
            given["eps"] = eps
        positional, by_name = self._fitted.arguments(given)
        returned = self._function(*positional, **by_name)
        try:
            return self._fitted.loss_in(returned)
        except (LookupError, TypeError) as error:
            raise PortError(
                "signature",
                f"the port returned {_described(returned)}, which has no output "
                f"{self._fitted.call_style.output!r}",
                _which(returned),
            ) from error

    def _answer(self, raw: RawAnswer, case: Case, dtype: str, changed: tuple[str, ...]) -> Answer:
        value = self._value(raw.loss)
        for gradient, maps in (
            (raw.grad_student, case.student),
            (raw.grad_teacher, case.teacher),
        ):
            if gradient is not None and gradient.shape != maps.shape:
                raise PortError(
                    "output", f"a gradient has shape {gradient.shape}, not {maps.shape}"
                )
        return Answer(
            value,
            raw.grad_student,
            raw.grad_teacher,
            self._framework.dtype(raw.loss) or dtype,
            no_gradient=raw.no_gradient,
            changed=changed,
        )

    def _value(self, loss: Any) -> NDArray[np.float64]:
        if isinstance(loss, Mapping | tuple | list):
            said = f"the port returned {_described(loss)}, not one number"
            raise PortError("signature", said, _which(loss))
        if loss is None or isinstance(loss, str | bytes | bool):
            raise PortError("output", f"the port returned {_described(loss)}, not a number")
        try:
            array = self._framework.array(loss)
        except Exception as error:
            raise PortError("output", f"the port returned {_described(loss)}") from error
        if not np.issubdtype(array.dtype, np.floating):
            raise PortError(
                "output",
                f"the port returned {_described(loss)} of dtype {array.dtype}, "
                "not a floating-point number",
            )
        return np.asarray(array, dtype=np.float64)

    def _changed(self, passed: Mapping[str, Any], case: Case, dtype: str) -> tuple[str, ...]:
        """Which arguments no longer hold what was put in."""
        if not self._framework.mutable:
            return ()
        original = self._tensors(case, dtype)
        return tuple(
            name
            for name, tensor in original.items()
            if name in passed and not self._same(passed[name], tensor)
        )

    def _same(self, tensor: Any, original: Any) -> bool:
        found, put_in = self._framework.array(tensor), self._framework.array(original)
        return found.shape == put_in.shape and bool(
            np.array_equal(found, put_in, equal_nan=found.dtype.kind == "f")
        )


def _one_layer(case: Case) -> tuple[int, ...]:
    """The shape of the teacher's maps; of several layers, stacked, that of one."""
    return case.teacher.shape[-4:]


def open_port(
    port: str | Callable[..., Any],
    *,
    framework: str | None = None,
    call_style: CallStyle | None = None,
    probe: Case | None = None,
    own_process: bool = False,
    loaded: Callable[[], None] = lambda: None,
) -> LocalPort:
    """Load a port, find its framework and its way of being called, and call it once.

    Args:
        port: a callable, or ``"PATH_OR_MODULE:FUNCTION"``.
        framework: its framework; ``None`` finds out.
        convention: how it wants to be called, where that is not ``port(*, teacher, student)``.
        probe: the case to call it with; ``None``: ``plainest_case``.
        own_process: this process is there for the port alone, and may be set up for it.
        loaded: called when the port is loaded, before it is first called.

    Raises:
        PortError: it cannot be loaded, or fails on the plainest input.
    """
    if own_process and framework:
        _framework(framework).prepare()
    function = load_function(port) if isinstance(port, str) else as_function(port)
    fitted = fit(function, call_style or CallStyle())
    loaded()
    tried: list[PortError] = []
    choices = {framework: "as told"} if framework else candidates(function)
    for candidate, reason in choices.items():
        try:
            record = _framework(candidate)
        except PortError as error:
            tried.append(error)
            continue
        if own_process:
            record.prepare()
        description = Description(
            name=name_of(port),
            framework=candidate,
            reason=reason,
            versions=record.version,
            accepts=tuple(sorted(fitted.accepts)),
            dtypes=record.dtypes,
            remark=fitted.remark,
        )
        opened = LocalPort(function, record, fitted, description)
        try:
            return _with_first_dtype(opened, probe or plainest_case())
        except PortError as error:
            tried.append(error)
    raise tried[0]


def plainest_case() -> Case:
    """What every port must be able to take: one sample, two heads, two queries, three keys."""
    rows = np.array([[[[6, 1, 1], [2, 4, 2]], [[1, 1, 6], [1, 5, 2]]]]) / 8
    return Case("plainest", rows, np.flip(rows, axis=-1).copy())


def _with_first_dtype(port: LocalPort, probe: Case) -> LocalPort:
    """The port with its dtypes cut to begin with the widest that it computes in."""
    troubles: list[PortError] = []
    dtypes = port.description.dtypes
    for index, dtype in enumerate(dtypes[:2]):
        answer = port.answer(probe, dtype, gradients=False)
        if answer.trouble is None or answer.trouble.kind == "output":
            port.description = replace(port.description, dtypes=dtypes[index:])
            return port
        if answer.trouble.kind == "signature":
            raise answer.trouble
        troubles.append(answer.trouble)
    raise PortError(
        "call", f"the port fails on the plainest input: {troubles[0].message}", troubles[0].hint
    )


def _framework(name: str) -> Framework:
    try:
        return load_framework(name)
    except ImportError as error:
        raise PortError(
            "framework", f"{name} is not installed here ({error})", install_hint(name)
        ) from error
    except ValueError as error:
        raise PortError("framework", str(error)) from error


def name_of(port: str | Callable[..., Any]) -> str:
    """What reports call a port: the target as given, or the module and name of a function."""
    if isinstance(port, str):
        return port
    module, name = getattr(port, "__module__", ""), getattr(port, "__qualname__", "")
    return f"{module}:{name}" if module and name else type(port).__name__


def _trouble(error: BaseException) -> PortError:
    """An exception of the port, with the place in its code."""
    if isinstance(error, SystemExit):
        return PortError("raised", f"the port called sys.exit({error.code!r}){_where(error)}")
    said = in_short(error)
    return PortError("raised", f"{said}{_where(error)}", gpu_hint(said))


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [frame for frame in frames if not frame.filename.startswith(_OWN_FOLDER)]
    if not foreign:
        return ""
    own = [frame for frame in foreign if "site-packages" not in frame.filename]
    last = own[-1] if own else foreign[0]
    return f" ({Path(last.filename).name}, line {last.lineno})"


def _which(returned: Any) -> str:
    """How to say which part of it is the loss."""
    if isinstance(returned, Mapping):
        return f"say which is the loss: --output {str(next(iter(returned), 'KEY'))[:30]}"
    if isinstance(returned, tuple | list):
        return "say which is the loss, counted from 0: --output 0"
    return "leave --output out"


def _described(value: Any) -> str:
    """A value in a few words, safe for whatever its ``__repr__`` does."""
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return f"a {kind} of {len(value)}"
    if isinstance(value, Mapping):
        keys = ", ".join(str(key)[:30] for key in list(value)[:6])
        return f"a {kind} with {keys or 'nothing in it'}"
    if isinstance(value, str | bytes | bool):
        return f"a {kind}"
    shape = getattr(value, "shape", None)
    return f"a {kind}" + (f" of shape {tuple(shape)}" if isinstance(shape, tuple) else "")
