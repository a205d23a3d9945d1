"""A port in a process of its own, under a time limit: it may hang, crash or exit, we do not."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from typing import BinaryIO, cast

from amad_core.conformance.inputs.case import Case
from amad_core.conformance.ports.answer import Answer, PortError
from amad_core.conformance.ports.call_style import CallStyle
from amad_core.conformance.ports.messages import (
    Arrays,
    Fields,
    MessageError,
    read_message,
    write_message,
)
from amad_core.conformance.ports.port import Description, plainest_case
from amad_core.conformance.ports.wire import (
    pack_call_style,
    pack_case,
    unpack_answer,
    unpack_description,
    unpack_error,
)

TIME_LIMIT = 60.0
"""Seconds that one call of a port may take."""

LOADING = 60.0
"""Seconds more for loading it: TensorFlow alone takes 10 to 40."""

# The maps are tiny: more threads than one only get in each other's way.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    # Every shape is compiled and called a few times: compiling fast is what counts.
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
}
_LAST_WORDS = 600
_GRACE = 5.0


class IsolatedPort:
    """A port that answers from another process. Ends with it: call :meth:`close`.

    Raises:
        PortError: it cannot be loaded, or fails on the plainest input.
    """

    def __init__(
        self,
        target: str,
        *,
        framework: str | None = None,
        call_style: CallStyle | None = None,
        probe: Case | None = None,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._limit = time_limit
        self._gone: PortError | None = None
        # Open as long as the port is.
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "amad_core.conformance.ports.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env=_ENVIRONMENT | dict(os.environ),
            start_new_session=True,
        )
        self._replies: queue.Queue[tuple[Fields, Arrays] | MessageError] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self.description = self._open(
                target, framework, call_style or CallStyle(), probe or plainest_case()
            )
        except BaseException:
            self.close()
            raise

    def answer(self, case: Case, dtype: str, gradients: bool) -> Answer:
        """Call the port once; after it has died or hung, every answer says so."""
        fields, arrays = pack_case(case)
        reply = self._ask(fields | {"dtype": dtype, "gradients": gradients}, arrays)
        if isinstance(reply, PortError):
            return Answer(None, dtype=dtype, trouble=reply)
        try:
            return unpack_answer(*reply)
        except MessageError as error:
            return Answer(None, dtype=dtype, trouble=self._end("died", str(error)))

    def close(self) -> None:
        """End the process, and whatever it started."""
        self._kill()
        for stream in (self._process.stdin, self._process.stdout, self._printed):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _open(
        self, target: str, framework: str | None, call_style: CallStyle, probe: Case
    ) -> Description:
        probe_fields, arrays = pack_case(probe)
        request = {
            "target": target,
            "framework": framework,
            "convention": pack_call_style(call_style),
            "probe": probe_fields,
            "path": [folder for folder in sys.path if folder],
        }
        reply = self._ask(request, arrays, self._limit + LOADING)
        if not isinstance(reply, PortError) and "loaded" in reply[0]:
            reply = self._reply(self._limit)
        if isinstance(reply, PortError):
            raise reply
        fields, _ = reply
        if "error" in fields and isinstance(fields["error"], dict):
            raise unpack_error(fields["error"])
        try:
            return unpack_description(fields.get("description", {}))
        except MessageError as error:
            raise PortError("died", str(error)) from error

    def _ask(
        self, fields: Fields, arrays: Arrays, limit: float | None = None
    ) -> tuple[Fields, Arrays] | PortError:
        if self._gone is not None:
            return self._gone
        try:
            write_message(cast(BinaryIO, self._process.stdin), fields, arrays)
        except OSError:
            return self._end("died", self._ending())
        return self._reply(self._limit if limit is None else limit)

    def _reply(self, limit: float) -> tuple[Fields, Arrays] | PortError:
        try:
            reply = self._replies.get(timeout=limit)
        except queue.Empty:
            return self._end(
                "time",
                f"no answer within {limit:g} seconds",
                "if it only is slow, allow more: --time-limit SECONDS",
            )
        if isinstance(reply, MessageError):
            return self._end("died", self._ending())
        return reply

    def _end(self, kind: str, message: str, hint: str = "") -> PortError:
        self._kill()
        self._gone = PortError(kind, message, hint)
        return self._gone

    def _ending(self) -> str:
        """How the process came to its end, and what it said last."""
        try:
            code = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return "the port's process sent what is no answer"
        if code < 0:
            name = signal.Signals(-code).name
            ending = f"the port's process crashed ({name})"
        else:
            ending = f"the port ended its own process (exit code {code})"
        said = self._last_words()
        return f"{ending}; it said last: {said}" if said else ending

    def _last_words(self) -> str:
        size = self._printed.seek(0, os.SEEK_END)
        self._printed.seek(max(0, size - _LAST_WORDS))
        lines = self._printed.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip()[:200] if lines else ""

    def _kill(self) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        while True:
            try:
                self._replies.put(read_message(cast(BinaryIO, self._process.stdout)))
            except MessageError as error:
                self._replies.put(error)
                return
            except (OSError, ValueError) as error:
                self._replies.put(MessageError(str(error)))
                return
