"""Arrays that are stored with the thresholds of the trust flag: the same again, and refused where damaged."""

import dataclasses
import json

import numpy as np
import pytest

from fsl_mrs_dl.config import from_dict, to_dict
from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.model.trust_reference import StoredArray, TrustReference


def test_arrays_come_back_in_half_precision():
    random = np.random.default_rng(0)
    values = random.normal(size=(3, 4)) + 1j * random.normal(size=(3, 4))
    stored = StoredArray.of(values)
    again = from_dict(StoredArray, json.loads(json.dumps(to_dict(stored))))
    assert stored.shape == (3, 4, 2) and again == stored
    np.testing.assert_allclose(again.complex_values, values, rtol=2e-3)
    assert StoredArray.of(np.arange(3.0)).values.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "shape, text",
    [((2,), "?"), ((2,), "AAA="), ((3,), "AAAAAA=="), ((), "AAA="), ((0,), ""), ((2**40,), ""), ((1,), "AH4=")],
)
def test_damaged_arrays_are_refused(shape, text):
    with pytest.raises(ConfigError):
        StoredArray(shape, text)


def reference(**changes):
    """TrustReference of one metabolite outside the model, for one condition and 5 points."""
    ones = {
        "directions": (1, 2, 5, 2), "mixtures": (1, 3, 2), "variations": (1, 4, 1, 5, 2), "feature_mean": (6,),
        "feature_axes": (2, 6), "feature_sd": (3,),
    }  # fmt: skip
    values = {name: StoredArray.of(np.ones(changes.pop(name, shape))) for name, shape in ones.items()}
    return TrustReference(**{"foreign": ("Ins",), **values, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"foreign": ("Ins", "Tau")}, {"directions": (2, 2, 5, 2)}, {"mixtures": (1, 3, 4)}, {"feature_sd": (2,)},
        {"variations": (1, 4, 1, 6, 2)}, {"feature_mean": (5,)}, {"directions": (1, 2, 5)},
    ],
)  # fmt: skip
def test_arrays_that_do_not_belong_together_are_refused(change):
    assert reference().foreign == ("Ins",)
    with pytest.raises(ConfigError):
        reference(**change)


def test_distances_need_a_scale():
    with pytest.raises(ConfigError, match="belong together"):
        dataclasses.replace(reference(), feature_sd=StoredArray.of(np.zeros(3)))
