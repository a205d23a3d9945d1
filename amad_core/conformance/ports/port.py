"""A port that can be asked: NumPy arrays in, an answer out, whatever framework is between."""

import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from amad_core.attention.inputs import broadcast_mask
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.ports.answer import Answer, PortError, in_short
from amad_core.conformance.ports.call_style import FittedCall, described, which_output
from amad_core.conformance.ports.detection import framework_of
from amad_core.conformance.ports.frameworks import Call, Framework, RawAnswer, dtype_of
from amad_core.conformance.ports.loading import gpu_hint
from amad_core.conformance.ports.mask_forms import PLAIN, MaskForm

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
        mask_form: the form in which the port gets its masks; empty where it takes none.
        token_masks: the port can only be asked about masks of tokens.
        square_maps: the port can only be asked about as many queries as keys: it needs a mask, and
            one of tokens.
    """

    name: str
    framework: str
    reason: str
    versions: str
    accepts: tuple[str, ...]
    dtypes: tuple[str, ...]
    remark: str = ""
    mask_form: str = ""
    token_masks: bool = False
    square_maps: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Port(Protocol):
    """Anything that answers cases: in this process, or in another."""

    @property
    def description(self) -> Description:
        """What is known of it."""

    def answer(self, case: Case, dtype: str, gradients: bool) -> Answer:
        """Call the port once, with the maps of ``case`` cast to ``dtype``."""

    def close(self) -> None:
        """Let go of what the port holds; it answers no more."""


@dataclass(frozen=True)
class LocalPort:
    """A port called in this process."""

    fitted: FittedCall
    framework: Framework
    description: Description
    mask_form: MaskForm = PLAIN
    _calls: dict[tuple[str, float, str, float], Call] = field(default_factory=dict, init=False)

    def answer(self, case: Case, dtype: str, gradients: bool) -> Answer:
        """Call the port once; whatever it raises is an answer too."""
        tensors = self._tensors(case, dtype)
        try:
            raw = self._ask(case, tensors, gradients)
            return self._checked(raw, case, dtype, self._changed(tensors, case, dtype))
        except PortError as error:
            return Answer(None, dtype=dtype, trouble=error)

    def close(self) -> None:
        """Nothing to let go of."""

    def _tensors(self, case: Case, dtype: str) -> dict[str, Any]:
        """All tensors of one call, in memory of their own."""
        arrays = {name: getattr(case, name) for name in ("teacher", "student", "weight", "bias")}
        given = {name: (array, dtype) for name, array in arrays.items() if array is not None}
        if case.mask is not None or self.fitted.needs_mask:
            # Maps of several layers are stacked; they share a mask.
            cells = broadcast_mask(case.mask, case.teacher.shape[-4:])
            given["mask"] = self.mask_form.array(cells, dtype)
        return {name: self.framework.tensor(*one) for name, one in given.items()}

    def _ask(self, case: Case, tensors: dict[str, Any], gradients: bool) -> RawAnswer:
        """One call, gradients included; whatever the port raises becomes a ``PortError``."""
        options = (case.variant, case.temperature, case.reduction, case.eps)
        call = self._calls.setdefault(options, partial(_loss, self.fitted, options))
        ask = self.framework.differentiate if gradients else self.framework.evaluate
        try:
            return ask(call, tensors)
        except (PortError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a port may raise SystemExit and worse
            raise _trouble(error) from error

    def _checked(self, raw: RawAnswer, case: Case, dtype: str, changed: tuple[str, ...]) -> Answer:
        value = self._value(raw.loss)
        for gradient, maps in ((raw.grad_student, case.student), (raw.grad_teacher, case.teacher)):
            if gradient is not None and gradient.shape != maps.shape:
                raise PortError(
                    "output", f"a gradient has shape {gradient.shape}, not {maps.shape}"
                )
        return Answer(
            value,
            raw.grad_student,
            raw.grad_teacher,
            dtype_of(raw.loss) or dtype,
            no_gradient=raw.no_gradient,
            changed=changed,
            came_in=framework_of(raw.loss),
        )

    def _value(self, loss: Any) -> NDArray[np.float64]:
        if isinstance(loss, Mapping | tuple | list):
            said = f"the port returned {described(loss)}, not one number"
            raise PortError("signature", said, which_output(loss))
        if loss is None or isinstance(loss, str | bytes | bool):
            raise PortError("output", f"the port returned {described(loss)}, not a number")
        try:
            array = self.framework.array(loss)
        except Exception as error:
            raise PortError("output", f"the port returned {described(loss)}") from error
        if not np.issubdtype(array.dtype, np.floating):
            raise PortError(
                "output",
                f"the port returned {described(loss)} of dtype {array.dtype}, "
                "not a floating-point number",
            )
        return np.asarray(array, dtype=np.float64)

    def _changed(self, tensors: Mapping[str, Any], case: Case, dtype: str) -> tuple[str, ...]:
        """Which arguments no longer hold what was put in."""
        if not self.framework.mutable:
            return ()
        original = self._tensors(case, dtype)
        return tuple(name for name in original if not self._same(tensors[name], original[name]))

    def _same(self, tensor: Any, original: Any) -> bool:
        found, put_in = self.framework.array(tensor), self.framework.array(original)
        return found.shape == put_in.shape and bool(
            np.array_equal(found, put_in, equal_nan=found.dtype.kind == "f")
        )


def _loss(
    fitted: FittedCall, options: tuple[str, float, str, float], tensors: Mapping[str, Any]
) -> Any:
    *named, eps = options
    given = {**tensors, **dict(zip(("variant", "temperature", "reduction"), named, strict=True))}
    return fitted.loss({**given, "eps": eps} if eps else given)


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
