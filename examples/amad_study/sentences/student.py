"""A small BERT that learns a teacher's embeddings of sentences, and how near it comes."""

# mypy: allow-untyped-calls
# (some of what is called here has no annotations upstream)

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from amad_study.models.batches import Batch
from amad_study.sentences.bench import LONGEST, PAD
from amad_study.sentences.cell import SentenceCell
from amad_study.sentences.minilm import mean_of_tokens


class SentenceStudent(nn.Module):
    """Embeds sentences: the mean over the tokens of a BERT, brought to the teacher's width.

    Args:
        cell: width, heads and layers.
        words: how many it knows.
        target_width: of the teacher's embeddings.
    """

    def __init__(self, cell: SentenceCell, *, words: int, target_width: int) -> None:
        super().__init__()
        self.bert = BertModel(
            BertConfig(
                vocab_size=words,
                hidden_size=cell.width,
                num_hidden_layers=cell.layers,
                num_attention_heads=cell.heads,
                intermediate_size=2 * cell.width,
                max_position_embeddings=LONGEST,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                initializer_range=0.6 / cell.width**0.5,  # BERT's 0.02 is for a width of 768
                pad_token_id=PAD,
            ),
            add_pooling_layer=False,
        )
        self.to_target = nn.Linear(cell.width, target_width)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """`loss`: 1 minus the mean cosine to `target` `[B, T]`; and `embedding` `[B, T]`."""
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        embedding = mean_of_tokens(self.to_target(states), attention_mask)
        cosines = nn.functional.cosine_similarity(embedding, target, dim=-1)
        return {"loss": 1 - cosines.mean(), "embedding": embedding}


def scores_of(student: nn.Module, data: Batch) -> dict[str, float]:
    """How near a student's embeddings of some sentences come to its teacher's; all times 100.

    `cosine`: the mean cosine of a sentence's two embeddings; `recall at 1`: how many sentences'
    embeddings are nearer to the teacher's of the same sentence than to its of any other one;
    `same neighbour`: of how many sentences the nearest other one is the teacher's choice, too.
    """
    was_training = student.training
    student.eval()
    with torch.no_grad():
        embedding = student(**data)["embedding"]
    student.train(was_training)
    return scores_of_embeddings(embedding, data["target"])


def scores_of_embeddings(student: Tensor, teacher: Tensor) -> dict[str, float]:
    """The scores of embeddings `[N, T]` of length 1; see `scores_of`."""
    across = student @ teacher.T
    own = torch.arange(len(student))
    nearest = [
        (side @ side.T).fill_diagonal_(-torch.inf).argmax(dim=1) for side in (student, teacher)
    ]
    return {
        "cosine": 100 * float(across.diagonal().mean()),
        "recall at 1": 100 * float((across.argmax(dim=1) == own).float().mean()),
        "same neighbour": 100 * float((nearest[0] == nearest[1]).float().mean()),
    }
