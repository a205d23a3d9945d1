"""Every test that takes ``port`` runs on the specification and on both adapters."""

import pytest
from training_ports import Port, spec_port, tensorflow_port, torch_port


@pytest.fixture(
    scope="session",
    params=[
        "spec",
        "torch",
        pytest.param("tensorflow", marks=pytest.mark.xdist_group("tensorflow")),
    ],
)
def port(request: pytest.FixtureRequest) -> Port:
    if request.param == "spec":
        return spec_port()
    pytest.importorskip(request.param)
    return torch_port() if request.param == "torch" else tensorflow_port()
