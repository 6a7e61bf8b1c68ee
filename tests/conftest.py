"""Fixtures that every test may use."""

import pytest

import pycompress as pc


@pytest.fixture(params=pc.available_isas())
def isa(request):
    """Run the test once on each instruction set that this machine has."""
    before = pc.isa()
    pc.use_isa(request.param)
    yield request.param
    pc.use_isa(before)
