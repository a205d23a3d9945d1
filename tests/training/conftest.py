"""Every test that takes ``port`` runs on the specification and on both adapters."""

import pytest

from tests.support.frameworks import ADAPTERS
from tests.support.training_port import Port, training_port


@pytest.fixture(scope="session", params=["spec", *ADAPTERS])
def port(request: pytest.FixtureRequest) -> Port:
    if request.param != "spec":
        pytest.importorskip(request.param)
    return training_port(request.param)
