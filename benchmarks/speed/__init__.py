"""Speed and memory of the losses beside named peers: ``make bench-speed``.

``cases`` says what is measured and ``bars`` what is aimed at; a file a part measures (``maps``,
``queries_keys``, ``tensorflow``, ``step``, ``memory``), each in a process of its own (``worker``).
``results`` keeps the raw timings, of which ``tables``, ``pictures`` and ``page`` tell.
"""
