"""A certificate authority for the client's tests."""

import pytest

from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority that no CA bundle but its own has."""
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority):
    """A certificate for 127.0.0.1 as (path of the CA bundle, server context)."""
    return authority.bundle, authority.server_context()
