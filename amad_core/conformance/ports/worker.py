"""The process in which a port runs: ``python -m amad_core.conformance.ports.worker``, started by
:mod:`amad_core.conformance.ports.process`, which it answers over its own standard input and output.
"""

import faulthandler
import os
import sys
import threading
import time
from typing import BinaryIO

from amad_core.conformance.inputs.case import Case
from amad_core.conformance.ports.answer import PortError
from amad_core.conformance.ports.call_style import CallStyle
from amad_core.conformance.ports.opening import open_port
from amad_core.conformance.ports.port import LocalPort
from amad_core.conformance.ports.wire import (
    Fields,
    MessageError,
    pack_answer,
    pack_error,
    receive,
    send,
)


def main() -> None:
    """Open one port, then answer cases until the other side hangs up."""
    requests, replies = _private_streams()
    faulthandler.enable()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        port = _opened(receive(requests), replies)
        send(replies, {"description": port.description.as_json()})
        while True:
            request = receive(requests)
            dtype, gradients = request.pop("dtype"), request.pop("gradients")
            send(replies, pack_answer(port.answer(Case(**request), dtype, gradients)))
    except PortError as error:
        send(replies, {"error": pack_error(error)})
    except MessageError:
        return


def _opened(request: Fields, replies: BinaryIO) -> LocalPort:
    sys.path += [folder for folder in request.pop("path") if folder not in sys.path]
    return open_port(
        request.pop("target"),
        framework=request.pop("framework"),
        call_style=CallStyle(**request.pop("call_style")),
        probe=Case(**request),
        own_process=True,
        phase=lambda name: send(replies, {"phase": name}),
    )


def _end_with(parent: int) -> None:
    """End when the kit has: a port that hangs would go on for ever if the kit was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _private_streams() -> tuple[BinaryIO, BinaryIO]:
    """Both pipes for the kit alone: what the port prints goes to standard error, it reads nothing.

    Copies of the file descriptors, so that also what C code prints goes astray nowhere.
    """
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


if __name__ == "__main__":
    main()
