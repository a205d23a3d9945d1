"""What the files call themselves; the policy is in docs/vectors.md."""

VECTORS_FORMAT = "amad-vectors/1"
"""Layout of a vectors file; another number where a reader of this one would fail."""

RESULTS_FORMAT = "amad-results/1"
"""Layout of a results file."""

VECTORS_VERSION = "1.0.0"
"""Major: an expected number changed or an id is gone. Minor: cases added. Patch: words, flags."""

SPECIFICATION_VERSION = "1.0"
"""The definition of the loss that the expected numbers follow (docs/specification.md)."""

DEFAULT_SEED = 0
