"""The methods that AMAD is compared with, specified as AMAD is: values and gradients, in NumPy.

``PEERS`` is the table of them, ``distillation_loss`` computes any of them, or a variant of AMAD,
by its name. The page "Peers" of the documentation has the formulas side by side.
"""

from amad_core.peers.head_merging import squeezing_heads
from amad_core.peers.head_pairs import (
    best_match_kl,
    best_match_mse,
    mean_head_kl,
    mean_head_mse,
    one_to_one_kl,
    one_to_one_mse,
)
from amad_core.peers.learned_alignment import align_to_distill
from amad_core.peers.logits import logits_kl
from amad_core.peers.minilm import minilm_attention, minilm_value_relation, minilmv2_relation
from amad_core.peers.table import (
    METHODS,
    PEERS,
    Peer,
    distillation_loss,
    distillation_loss_and_grad,
)
from amad_core.peers.tinybert import tinybert_scores

__all__ = [
    "METHODS",
    "PEERS",
    "Peer",
    "align_to_distill",
    "best_match_kl",
    "best_match_mse",
    "distillation_loss",
    "distillation_loss_and_grad",
    "logits_kl",
    "mean_head_kl",
    "mean_head_mse",
    "minilm_attention",
    "minilm_value_relation",
    "minilmv2_relation",
    "one_to_one_kl",
    "one_to_one_mse",
    "squeezing_heads",
    "tinybert_scores",
]
