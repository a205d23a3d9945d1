"""From queries and keys: the loss of attention maps that are never built."""

from amad_torch.streaming.loss import amad_loss_from_queries_and_keys
from amad_torch.streaming.queries_keys import QueriesKeys

__all__ = ["QueriesKeys", "amad_loss_from_queries_and_keys"]
