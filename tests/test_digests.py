"""Kernels give the bits that an x86 machine wrote down, on this machine and every set it has."""

import pytest

from tests import digest_cases as cases

KERNELS = dict(cases.kernel_cases())


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.usefixtures("isa")
def test_the_bits_are_those_of_the_machine_that_wrote_them(name):
    assert cases.digest(KERNELS[name]()) == cases.wanted()[cases.key(name)]


def test_a_digest_depends_on_every_bit_and_the_type():
    case = KERNELS["quantize-0.3"]
    arrays = [array.copy() for array in case()]
    arrays[0][0] ^= 1
    assert cases.digest(arrays) != cases.wanted()["quantize-0.3"]
    arrays[0][0] ^= 1
    assert cases.digest(arrays) == cases.wanted()["quantize-0.3"]
    arrays[0] = arrays[0].view("int8")
    assert cases.digest(arrays) != cases.wanted()["quantize-0.3"]


def test_nothing_was_written_down_that_no_case_makes():
    kernels = {name for name in cases.wanted() if not name.startswith("model-")}
    assert kernels == cases.keys(KERNELS)
