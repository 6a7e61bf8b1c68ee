"""Quantized models give the bits that an x86 machine wrote down, on every set."""

import pytest

from tests import digest_cases as cases

MODELS = dict(cases.model_cases())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("isa")
def test_the_bits_are_those_of_the_machine_that_wrote_them(name):
    assert cases.digest(MODELS[name]()) == cases.wanted()[cases.key(name)]


def test_nothing_was_written_down_that_no_case_makes():
    assert {name for name in cases.wanted() if name.startswith("model-")} == cases.keys(MODELS)
