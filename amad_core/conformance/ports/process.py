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
from amad_core.conformance.ports.opening import plainest_case
from amad_core.conformance.ports.port import Description
from amad_core.conformance.ports.wire import (
    Fields,
    MessageError,
    receive,
    send,
    unpack_answer,
    unpack_error,
)

TIME_LIMIT = 60.0
"""Seconds that one call of a port may take."""

LOADING = 60.0
"""Seconds for loading it, or a framework: TensorFlow alone takes 10 to 40."""

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
        self._replies: queue.Queue[Fields | MessageError] = queue.Queue()
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
        try:
            self._send({**vars(case), "dtype": dtype, "gradients": gradients})
            return unpack_answer(self._reply(self._limit), case)
        except MessageError as error:
            return Answer(None, dtype=dtype, trouble=self._end("died", str(error)))
        except PortError as error:
            return Answer(None, dtype=dtype, trouble=error)

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
        path = [folder for folder in sys.path if folder]
        request = {"target": target, "framework": framework, "path": path}
        self._send({**vars(probe), **request, "call_style": vars(call_style)})
        limits = {"loading": LOADING, "calling": self._limit}
        limit = LOADING
        while True:
            reply = self._reply(limit)
            try:
                if "phase" in reply:
                    limit = limits[reply["phase"]]
                elif "error" in reply:
                    raise unpack_error(reply["error"])
                else:
                    return _description(reply["description"])
            except (LookupError, TypeError) as error:
                said = f"the port's process sent what is no answer ({error})"
                raise self._end("died", said) from error

    def _send(self, fields: Fields) -> None:
        if self._gone is not None:
            raise self._gone
        try:
            send(cast(BinaryIO, self._process.stdin), fields)
        except OSError as error:
            raise self._end("died", self._ending()) from error

    def _reply(self, limit: float) -> Fields:
        """The next message.

        Raises:
            PortError: none came in time, or the process has ended.
        """
        try:
            reply = self._replies.get(timeout=limit)
        except queue.Empty:
            raise self._end(
                "time",
                f"no answer within {limit:g} seconds",
                "if it only is slow, allow more: --time-limit SECONDS",
            ) from None
        if isinstance(reply, MessageError):
            raise self._end("died", self._ending()) from reply
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
                self._replies.put(receive(cast(BinaryIO, self._process.stdout)))
            except MessageError as error:
                self._replies.put(error)
                return
            except (OSError, ValueError) as error:
                self._replies.put(MessageError(str(error)))
                return


def _description(fields: Fields) -> Description:
    """The description of :meth:`Description.as_json`, after JSON has made lists of its tuples."""
    plain: Fields = {
        name: tuple(part) if isinstance(part, list) else part for name, part in fields.items()
    }
    return Description(**plain)
