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


def test_a_port_that_chooses_among_layers_is_told_which():
    def port(*, teacher, student):
        return added(zip(teacher[::2], student[::2], strict=True))

    report = check_port(port, framework="torch", layers=True, max_examples=1)
    by_name = {check.name: check for check in report.checks}
    said = "teacher layers 0 and 2 with student layers 0 and 2 count"
    assert said in by_name["layers"].detail
    assert [explanation.name for explanation in report.explanations] == ["layers-chosen-inside"]


@pytest.mark.parametrize(("first", "step"), [(1, 2), (2, 3), (3, 4)])
def test_a_port_that_chooses_among_the_teachers_layers_gets_enough_of_them(first, step):
    def port(*, teacher, student):
        return added(zip(teacher[first::step], student, strict=False))

    report = check_port(port, framework="torch", layers=True, max_examples=1)
    report.raise_if_failed()
    assert f"{step} copies of each" in report.description.remark


def test_layers_that_are_paired_as_they_come_pass():
    def port(*, teacher, student):
        return added(zip(teacher, student, strict=True))

    check_port(port, framework="torch", layers=True, max_examples=1).raise_if_failed()
