"""Ports as they were found in public code, written anew from what they compute."""

import pytest

from amad_core.conformance import check_port

torch = pytest.importorskip("torch")
F = torch.nn.functional


def inner_products_of_distributions(teacher, student):
    """NotManigandan/VLM-Spatial-Reasoning: four deviations, and no detached teacher."""
    batch, heads, queries, keys = teacher.shape
    t, s = teacher.flatten(2), student.flatten(2)
    p, q = t / t.sum(-1, keepdim=True), s / s.sum(-1, keepdim=True)
    mixture = ((p @ q.mT).softmax(-1) @ s).view(batch, heads, queries, keys)
    mixture = mixture / mixture.sum(-1, keepdim=True)
    target = teacher / teacher.sum(-1, keepdim=True)
    logarithm = (mixture + 1e-10).log()
    return F.kl_div(logarithm.view(-1, keys), target.reshape(-1, keys), reduction="batchmean")


def sharp_and_averaged(teacher, student):
    """yasaisen: temperature 0.1, mean over heads, 1e-8 on both sides."""
    t, s = teacher.detach().flatten(2), student.flatten(2)
    t, s = t / (t.sum(-1, keepdim=True) + 1e-8), s / (s.sum(-1, keepdim=True) + 1e-8)
    weights = (F.normalize(t, dim=-1) @ F.normalize(s, dim=-1).mT / 0.1).softmax(-1)
    mixture = (weights @ s).flatten(0, 1)
    return F.kl_div((mixture + 1e-8).log(), t.flatten(0, 1) + 1e-8, reduction="batchmean")


def row_wise_jensen_shannon(teacher, student):
    """SyedNaveedMahmood/kd-sink: raw maps mixed, rows compared, mean over heads and rows."""
    p = teacher.detach()
    t, s = p.flatten(2), student.flatten(2)
    weights = (F.normalize(t, dim=-1) @ F.normalize(s, dim=-1).mT).softmax(-1)
    m = (weights @ s).view_as(p)
    middle = ((p + m) / 2 + 1e-12).log()
    terms = p * ((p + 1e-12).log() - middle) + m * ((m + 1e-12).log() - middle)
    return terms.sum(-1).mean() / 2


PORTS = [
    (
        inner_products_of_distributions,
        "kl",
        {
            "gradient-into-the-teacher",
            "dot-of-l1-maps + mean-over-heads + mean-of-row-divergences",
        },
    ),
    (
        sharp_and_averaged,
        "kl",
        {"another-temperature + mean-over-heads + eps-in-the-logarithm"},
    ),
    (row_wise_jensen_shannon, "js", {"mean-over-heads + mean-of-row-divergences"}),
]


@pytest.mark.parametrize(("port", "variant", "named"), PORTS)
def test_what_it_does_otherwise_is_named(port, variant, named):
    report = check_port(port, variant=variant, max_examples=3, detached_teacher=True)
    assert report.verdict == "wrong"
    assert {" + ".join(sorted(one.name.split(" + "))) for one in report.explanations} == {
        " + ".join(sorted(name.split(" + "))) for name in named
    }
