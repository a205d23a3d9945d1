"""One process of a student trained by attention alone under DistributedDataParallel.

``python distributed_student.py RECIPE RANK PROCESSES PORT``: prints the sums of the squares of
the gradients after two steps, ``None`` for parameters that got none.
"""

import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from amad_torch import amad_layers_loss


class Attention(nn.Module):
    """Two layers of attention; what stands after the last map gets no gradient of the maps."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.MultiheadAttention(8 * heads, heads, batch_first=True) for _ in range(2)
        )
        self.embedding = nn.Embedding(50, 8 * heads)

    def forward(self, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden, maps = self.embedding(tokens), []
        for layer in self.layers:
            attended, weights = layer(hidden, hidden, hidden, average_attn_weights=False)
            hidden = hidden + attended
            maps.append(weights)
        return hidden, maps


def main(recipe: str, rank: int, processes: int, port: str) -> None:
    meeting = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
    try:
        torch.manual_seed(0)
        teacher, student = Attention(3).eval(), Attention(2)
        tokens = torch.randint(50, (4, 5)).chunk(processes)[rank]
        if recipe == "frozen":
            student.layers[-1].out_proj.requires_grad_(False)
        module = DistributedDataParallel(student, find_unused_parameters=recipe == "found")
        for _ in range(2):
            with torch.no_grad():
                wanted = teacher(tokens)[1]
            found = module(tokens)[1]
            loss = amad_layers_loss(teacher=wanted, student=found, variant="kl").total
            student.zero_grad()
            loss.backward()
        for name, parameter in student.named_parameters():
            grad = parameter.grad
            print(name, None if grad is None else f"{grad.double().square().sum().item():.6e}")
        dist.barrier()
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
