"""Errors against fixed tables, the bound against its formula, truth tables read and refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fsl_mrs_dl.errors import DataError
from fsl_mrs_dl.evaluate.metrics import mean_absolute_error, relative_to_largest
from fsl_mrs_dl.evaluate.phantoms import read_phantoms
from fsl_mrs_dl.model.inputs import InputConfig
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import PUBLISHED
from fsl_mrs_dl.train.bound import least_squares_errors


def test_errors_are_of_values_relative_to_the_largest():
    truth = np.array([[2.0, 4.0], [5.0, 1.0]])
    estimates = np.array([[0.6, 1.0], [10.0, 3.0]])
    np.testing.assert_allclose(relative_to_largest(truth), [[0.5, 1], [1, 0.2]])
    np.testing.assert_allclose(mean_absolute_error(estimates, truth), [0.05, 0.05])
    assert np.isnan(mean_absolute_error(np.array([[np.nan, 1.0], [1.0, 1.0]]), truth)[0])


def test_the_bound_is_nothing_without_noise_and_grows_with_it(tiny_basis):
    config = InputConfig(2, tiny_basis.centre_hz)
    errors = []
    for sigma in (0.0, 0.01, 0.02):
        stream = Stream(tiny_basis, replace(PUBLISHED, noise_sigma=(sigma, sigma)), batch=500)
        errors.append(least_squares_errors(stream, config, [0]))
    assert errors[0].max() < 1e-4
    torch.testing.assert_close(errors[2] / errors[1], torch.full((3,), 2.0).double(), atol=0.35, rtol=0)


def test_truth_tables(tmp_path):
    (tmp_path / "truth.csv").write_text("id,series,Cr,NAA\na,s1,8,12\nb,s2,4,6\n")
    for name in ("a.nii.gz", "b.nii"):
        (tmp_path / name).write_bytes(b"")
    phantoms = read_phantoms(tmp_path, ("NAA", "Cr"))
    assert phantoms.series == ("s1", "s2") and [path.name for path in phantoms.paths] == ["a.nii.gz", "b.nii"]
    np.testing.assert_array_equal(phantoms.truth, [[12, 8], [6, 4]])
    with pytest.raises(DataError, match="no column GABA"):
        read_phantoms(tmp_path, ("GABA",))
    (tmp_path / "b.nii").unlink()
    with pytest.raises(DataError, match="no b.nii.gz"):
        read_phantoms(tmp_path, ("Cr",))
    (tmp_path / "truth.csv").write_text("id,series,Cr\na,s1,eight\n")
    with pytest.raises(DataError, match="not a number"):
        read_phantoms(tmp_path, ("Cr",))
    with pytest.raises(DataError, match="truth.csv"):
        read_phantoms(tmp_path / "nowhere", ("Cr",))
