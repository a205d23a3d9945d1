"""The process in which a port runs: ``python -m amad_core.conformance.ports.worker``, started by
:mod:`amad_core.conformance.ports.process`, which it answers over its own standard input and output.
"""

import faulthandler
import os
import sys
import threading
import time
from typing import Any, BinaryIO

from amad_core.conformance.ports.answer import PortError
from amad_core.conformance.ports.messages import Fields, MessageError, read_message, write_message
from amad_core.conformance.ports.port import LocalPort, open_port
from amad_core.conformance.ports.wire import pack_answer, pack_error, unpack_call_style, unpack_case


def main() -> None:
    """Open one port, then answer cases until the other side hangs up."""
    requests, replies = _private_streams()
    faulthandler.enable()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    port: LocalPort | None = None
    while True:
        try:
            fields, arrays = read_message(requests)
        except MessageError:
            return
        if port is None:
            port = _opened(replies, fields, unpack_case(fields["probe"], arrays))
            if port is None:
                return
            continue
        answer = port.answer(unpack_case(fields, arrays), fields["dtype"], fields["gradients"])
        write_message(replies, *pack_answer(answer))


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


def _opened(replies: BinaryIO, request: Fields, probe: Any) -> LocalPort | None:
    for folder in request["path"]:
        if folder not in sys.path:
            sys.path.append(folder)
    try:
        port = open_port(
            request["target"],
            framework=request["framework"],
            call_style=unpack_call_style(request["convention"]),
            probe=probe,
            own_process=True,
            loaded=lambda: write_message(replies, {"loaded": True}),
        )
    except PortError as error:
        write_message(replies, {"error": pack_error(error)})
        return None
    write_message(replies, {"description": port.description.as_json()})
    return port


if __name__ == "__main__":
    main()
