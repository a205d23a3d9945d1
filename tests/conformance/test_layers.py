"""Ports that choose among the layers that they are given are told so."""

import pytest

from amad_core.conformance import check_port

torch = pytest.importorskip("torch")


def one(teacher, student):
    t, s = teacher.detach().flatten(2), student.flatten(2)
    t, s = (maps / maps.norm(dim=2, keepdim=True) for maps in (t, s))
    return (t - (t @ s.mT).softmax(2) @ s).square().sum((1, 2)).mean()


def added(pairs):
    return sum((one(teacher, student) for teacher, student in pairs), torch.zeros(()))


CHOOSING = {
    "every second of the teacher": (
        lambda teacher, student: added(zip(teacher[1::2], student, strict=False)),
        "teacher layers 1 and 3 with student layers 0 and 1 count",
    ),
    "every second of both": (
        lambda teacher, student: added(zip(teacher[::2], student[::2], strict=True)),
        "teacher layers 0 and 2 with student layers 0 and 2 count",
    ),
}


@pytest.mark.parametrize("name", CHOOSING)
def test_a_port_that_chooses_among_layers_is_told_which(name):
    port, said = CHOOSING[name]
    report = check_port(port, framework="torch", layers=True, max_examples=1)
    by_name = {check.name: check for check in report.checks}
    assert said in by_name["layers"].detail
    assert [explanation.name for explanation in report.explanations] == ["layers-chosen-inside"]


def test_layers_that_are_paired_as_they_come_pass():
    def port(*, teacher, student):
        return added(zip(teacher, student, strict=True))

    check_port(port, framework="torch", layers=True, max_examples=1).raise_if_failed()
