"""Make the vectors that ship: ``python -m amad_core.conformance.vectors.make``.

Writes into the folder ``data``: a vectors file for each variant, compressed, and the sums of the
files that ``amad vectors export`` writes for it. With ``--check`` nothing is written, and it fails
where ``data`` is not what would be written.
"""

import argparse
import gzip
import hashlib
import sys
from pathlib import Path

from amad_core.attention.variants import VARIANTS
from amad_core.conformance.vectors.documents import FileError
from amad_core.conformance.vectors.export import listed_sums, variant_files
from amad_core.conformance.vectors.files import RELEASED_SEED, SUMS, released_sums, shipped_text
from amad_core.conformance.vectors.make.documents import vectors_text
from amad_core.files import write_atomically

DATA = Path(__file__).parents[1] / "data"


def main() -> None:
    """Writes or checks."""
    parser = argparse.ArgumentParser(description="Make the golden vectors that ship.")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    check = parser.parse_args().check
    texts = {variant: vectors_text(variant, RELEASED_SEED) for variant in VARIANTS}
    sums = {
        name: hashlib.sha256(content).hexdigest()
        for variant, text in texts.items()
        for name, content in variant_files(variant, text)
    }
    stale = [variant for variant, text in texts.items() if _shipped(variant) != text]
    if check:
        right = not stale and sums == released_sums()
        sys.exit(0 if right else f"stale: {', '.join(stale) or SUMS}; run 'make vectors'")
    for variant in stale:  # what compression gives depends on the version of zlib
        write_atomically(DATA / f"{variant}.json.gz", gzip.compress(texts[variant], mtime=0))
    write_atomically(DATA / SUMS, listed_sums(sums))


def _shipped(variant: str) -> bytes:
    try:
        return shipped_text(variant)
    except FileError:  # none yet, or damaged
        return b""


if __name__ == "__main__":
    main()
