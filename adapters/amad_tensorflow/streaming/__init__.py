"""From queries and keys: the loss of attention maps, without building large ones."""

from amad_tensorflow.streaming.loss import amad_loss_from_queries_and_keys
from amad_tensorflow.streaming.queries_keys import QueriesKeys

__all__ = ["QueriesKeys", "amad_loss_from_queries_and_keys"]
