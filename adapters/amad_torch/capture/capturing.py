"""The capture itself: what every layer of a model attends to, for as long as a block runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from amad_torch.capture.captured import CapturedAttention
from amad_torch.capture.following import Followed
from amad_torch.capture.function_mode import FunctionMode, of_four_axes
from amad_torch.capture.interface import (
    Call,
    compiled_interface_watched,
    interface_watched,
    read_call,
)
from amad_torch.capture.layer_attention import LayerAttention
from amad_torch.capture.projection import follow_heads
from amad_torch.capture.registered import BESIDE_THE_MAPS, registered_for
from amad_torch.capture.running import Running, in_reentrant_checkpoint, kind_of
from amad_torch.capture.scores import Scores, apart
from amad_torch.capture.torch_modules import torch_modules_watched
from amad_torch.streaming.queries_keys import QueriesKeys

_HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "heads")
"""How modules call their number of heads, where their maps hold samples and heads as one axis."""

_WRAPPED = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""How wrappers call the module that they hold."""


@contextmanager
def capture_attention(
    model: nn.Module, *, modules: Sequence[str] | None = None
) -> Iterator[CapturedAttention]:
    """What every layer of a model attends to, while the model runs as it always does.

    The model keeps its attention implementation, and its output is bit for bit what it was. What is
    captured is free of dropout, in train mode too, and in the autograd graph of the forward pass.

    Args:
        model: any ``nn.Module``.
        modules: paths of modules, as globs (``["*.layer.3.*"]``), or paths below which all counts;
            ``None``: all modules.

    Yields:
        A mapping from module path to :class:`LayerAttention`, in the order of the calls; a second
        run of a module is ``"path#2"``. It fills while the block runs and stays readable after.

    Raises:
        TypeError: ``model`` is no ``nn.Module``.
        ValueError: a name in ``modules`` that no module has.
        RuntimeError: at the end of the block: nothing was captured, a named module never ran, or a
            captured call has lost its autograd graph (reentrant checkpointing).

    Example:
        >>> import torch
        >>> from amad_torch import capture_attention
        >>> layer = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        >>> tokens = torch.randn(3, 5, 8)
        >>> with capture_attention(layer) as attention:
        ...     _ = layer(tokens, tokens, tokens)
        >>> attention[""].maps.shape
        torch.Size([3, 2, 5, 5])
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}")
    capture = _Capture(model, modules)
    with capture.watching():
        yield capture.captured
    capture.check()


class _Capture:
    def __init__(self, model: nn.Module, wanted: Sequence[str] | None) -> None:
        self._name = f"this {type(model).__name__}"
        named = dict(model.named_modules())
        self._paths = {id(module): _plain(name) for name, module in named.items()}
        self._modules = list(named.values())  # kept, so that an id stays one module's
        self._wanted = None if wanted is None else list(wanted)
        for pattern in self._wanted or ():
            if not any(CapturedAttention.matches(path, pattern) for path in self._paths.values()):
                raise ValueError(
                    f"modules must name modules of the model; no module matches {pattern!r} "
                    f"(there are {', '.join(map(repr, list(self._paths.values())[1:6]))} ...)"
                )
        self.captured = CapturedAttention()
        self.compiled = any(
            hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None)
            for module in model.modules()
        )
        self._training = any(one.requires_grad for one in model.parameters())
        self._running = Running(self._paths)
        self._followed = Followed()
        self._routed = 0
        self._runs: dict[str, int] = {}
        self._lost: list[str] = []
        self._calls: list[Call] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self.compiled:
                stack.callback(self._take_calls)
                stack.enter_context(compiled_interface_watched(self._calls))
            else:
                stack.enter_context(interface_watched(self._from_interface))
                stack.enter_context(self._running.watched())
                stack.enter_context(torch_modules_watched(self._from_torch_module))
                stack.enter_context(FunctionMode(self, self._followed))
            for module in self._modules:
                function = registered_for(module)
                if function is not None:
                    hook = module.register_forward_hook(self._from_registered, with_kwargs=True)
                    stack.callback(hook.remove)
            yield

    def check(self) -> None:
        """Silence is impossible."""
        if self._lost:
            raise RuntimeError(
                f"the attention of {', '.join(map(repr, self._lost[:4]))} has no autograd graph "
                "though the model is being trained: reentrant gradient checkpointing runs it "
                "without one; use gradient_checkpointing_kwargs={'use_reentrant': False}"
            )
        if not self.captured:
            how = (
                "the model is compiled, and what it attends to cannot be seen inside a compiled "
                "graph: capture before torch.compile, or compile without it"
                if self.compiled
                else "did the block run this model (not a copy of it, not in another thread, not "
                "traced or exported)? If it did, it attends in a way that cannot be seen: say with "
                "register_attention(module_class, function) what its modules attend to"
            )
            raise RuntimeError(f"no attention was captured of {self._name}: {how}")
        for pattern in self._wanted or ():
            if not any(
                CapturedAttention.matches(layer.path, pattern) for layer in self.captured.values()
            ):
                raise RuntimeError(
                    f"no attention was captured of modules={pattern!r}: such modules exist, but "
                    "none of them attended to anything while the block ran"
                )

    def _take_calls(self) -> None:
        for call in self._calls:
            module, query, key, value = call[:4]
            has_gradient = query.requires_grad or key.requires_grad
            self._add(module, read_call(call), has_gradient, values=_known(value))
        self._calls.clear()

    def is_routed(self) -> bool:
        """Whether what runs now is seen in another way."""
        return self._routed > 0 or torch._C._current_graph_task_id() != -1

    def sources(self) -> tuple[int, ...]:
        """What the running module's queries and keys come from."""
        return self._running.sources()

    @contextmanager
    def _from_interface(
        self,
        module: nn.Module,
        read: Callable[[], QueriesKeys],
        given: tuple[Tensor, Tensor, Tensor],
    ) -> Iterator[Callable[[Any], None]]:
        query, key, value = given
        has_gradient = query.requires_grad or key.requires_grad
        layer = self._add(module, read, has_gradient, values=_known(value))
        self._routed += 1
        try:
            yield lambda output: follow_heads(self._followed, output, layer, query.shape[1])
        finally:
            self._routed -= 1

    def _from_torch_module(
        self,
        module: nn.MultiheadAttention,
        read: Callable[[], QueriesKeys],
        values: Callable[[], Tensor],
        has_gradient: bool,
        kind: str,
    ) -> None:
        layer = self._add(module, read, has_gradient, kind=kind, values=values)
        if layer is not None:
            layer.meets(module.out_proj.weight)

    def from_sdpa(
        self, read: Callable[[], QueriesKeys], queries: Tensor, keys: Tensor, values: Tensor
    ) -> LayerAttention | None:
        """A call of SDPA."""
        module = self._running.innermost
        if module is None:
            return None
        has_gradient = queries.requires_grad or keys.requires_grad
        return self._add(module, read, has_gradient, values=lambda: of_four_axes(values))

    def from_softmax(
        self, maps: Tensor, scores: Scores | None, sources: tuple[int, ...], values: Tensor | None
    ) -> LayerAttention | None:
        """Probabilities that have met values."""
        module = self._running.innermost
        if module is None:
            return None
        four = _with_heads(maps, module)
        axes = four.shape[:2]
        return self._add(
            module,
            None if scores is None else partial(scores.read, *axes),
            maps.requires_grad,
            maps=four,
            kind=kind_of(module, self._paths[id(module)], sources),
            values=None if values is None else partial(apart, values, *axes),
        )

    def _from_registered(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any
    ) -> None:
        function = registered_for(module)
        answer = None if function is None else function(module, args, kwargs, output)
        if answer is None:
            return
        if isinstance(answer, Tensor):
            if answer.dim() != 4:
                raise ValueError(
                    "a registered function must return maps [batch, heads, queries, keys]; got "
                    f"shape {list(answer.shape)}"
                )
            self._add(module, None, answer.requires_grad, maps=answer, checked=False)
            return
        given = dict(answer)
        kind, values, projection = (given.pop(name, None) for name in BESIDE_THE_MAPS)
        given.setdefault("scale", given["queries"].shape[-1] ** -0.5)
        attended = QueriesKeys(**given)
        has_gradient = attended.queries.requires_grad or attended.keys.requires_grad
        layer = self._add(
            module,
            lambda: attended,
            has_gradient,
            kind=kind,
            values=None if values is None else _known(values),
        )
        if layer is not None and projection is not None:
            layer.meets(projection)

    def _add(
        self,
        module: nn.Module,
        read: Callable[[], QueriesKeys] | None,
        has_gradient: bool,
        *,
        kind: str | None = None,
        maps: Tensor | None = None,
        checked: bool = True,
        values: Callable[[], Tensor] | None = None,
    ) -> LayerAttention | None:
        path = self._paths.get(id(module))
        if path is None or torch._C._current_graph_task_id() != -1:
            return None
        if self._wanted is not None and not any(
            CapturedAttention.matches(path, one) for one in self._wanted
        ):
            return None
        if kind is None:
            kind = kind_of(module, path, self._running.sources())
        run = self._runs[path] = self._runs.get(path, 0) + 1
        name = path if run == 1 else f"{path}#{run}"
        if not has_gradient and self._training and in_reentrant_checkpoint():
            self._lost.append(path)
        layer = self.captured._layers[name] = LayerAttention(
            name,
            kind,
            read,
            requires_grad=has_gradient,
            maps=maps,
            checked=checked,
            values=values,
        )
        return layer


def _known(value: Tensor) -> Callable[[], Tensor]:
    return lambda: value


def _with_heads(maps: Tensor, module: nn.Module) -> Tensor:
    if maps.dim() == 4:
        return maps
    heads = next((getattr(module, name) for name in _HEADS if hasattr(module, name)), 1)
    heads = heads if isinstance(heads, int) and maps.shape[0] % heads == 0 else 1
    return maps.reshape(-1, heads, *maps.shape[-2:])


def _plain(name: str) -> str:
    """A path without what torch.compile, DDP, FSDP and activation checkpointing put into it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPED)
