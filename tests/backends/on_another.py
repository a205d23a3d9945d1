"""Run in a process of its own, with ``KERAS_BACKEND``: what is imported, then the tests named.

KERAS_BACKEND=jax python -m tests.backends.on_another [options of pytest] FILE ...
"""

import sys

import keras
import pytest

FRAMEWORKS = {"tensorflow", "torch", "jax"}


def main(arguments: list[str]) -> int:
    """The exit code; 100 where AMAD has imported a framework that Keras does not run on."""
    before = FRAMEWORKS & sys.modules.keys()
    import amad_keras

    amad_keras.AttentionDistillation(variant="kl")
    further = FRAMEWORKS & sys.modules.keys() - before - {keras.config.backend()}
    if further:
        print(f"amad_keras imported {', '.join(sorted(further))}")
        return 100
    return int(pytest.main(["-q", "-p", "no:cacheprovider", *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
