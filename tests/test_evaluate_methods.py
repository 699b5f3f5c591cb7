"""Models as methods of the study."""

import numpy as np
import pytest

from fsl_mrs_dl.basis.basis_set import read_basis, write_basis
from fsl_mrs_dl.errors import ConfigError, ModelError
from fsl_mrs_dl.evaluate.methods import Method, check_names, model_method, spectrum_of
from fsl_mrs_dl.fit.quantify import quantify
from fsl_mrs_dl.fit.scan import Scan
from fsl_mrs_dl.model.checkpoint import load_model, save_model, write_calibration

from .test_fit_quantify import CONTENTS, fids_of
from .test_fit_uncertainty import halved


def test_a_model_gives_what_the_fit_gives(tiny_model, tiny_basis, tmp_path):
    save_model(tiny_model, tmp_path / "tiny")
    write_basis(tiny_basis, tmp_path / "basis")
    method = model_method(tmp_path / "tiny", tmp_path / "basis")
    scan = Scan(fids_of(tiny_basis), tiny_basis.conditions, tiny_basis.dwell_s, tiny_basis.centre_hz)
    found = method.fit(scan)
    assert (method.name, method.spectra, method.metabolites) == ("tiny", ("both",), tiny_basis.names)
    assert found.keys() == {"both"} and load_model(tmp_path / "tiny").weights_sha256 in method.version
    np.testing.assert_allclose([found["both"][name] for name in tiny_basis.names], CONTENTS, atol=0.08)
    prediction = quantify(scan, tmp_path / "tiny", tmp_path / "basis").prediction
    assert found["both"] == dict(zip(prediction.names, prediction.concentrations.tolist(), strict=True))
    write_basis(tiny_basis.keep(("Cr", "GABA")), tmp_path / "other")
    with pytest.raises(ModelError, match="different metabolites"):
        model_method(tmp_path / "tiny", tmp_path / "other")


def test_another_calibration_is_another_method(tiny_model, tiny_basis, tmp_path):
    """It corrects estimates for shrinkage, so what a study holds of the old one is no longer true."""
    save_model(tiny_model, tmp_path / "tiny")
    write_basis(tiny_basis, tmp_path / "basis")
    before = model_method(tmp_path / "tiny", tmp_path / "basis").version
    assert model_method(tmp_path / "tiny", tmp_path / "basis").version == before
    write_calibration(tmp_path / "tiny", halved(tiny_model).calibration)
    assert model_method(tmp_path / "tiny", tmp_path / "basis").version != before


def test_what_a_basis_set_shows(tiny_basis, single_basis, tmp_path):
    assert spectrum_of(tiny_basis) == "both" and spectrum_of(single_basis) == "single"
    write_basis(tiny_basis, tmp_path / "set")
    assert [spectrum_of(read_basis(tmp_path / "set" / name)) for name in ("off", "diff")] == ["off", "diff"]
    shipped = model_method("hybrid_diff")
    assert shipped.spectra == ("diff",) and "Cr" not in shipped.metabolites
    assert tiny_basis.shown == tiny_basis.names


def test_refusals():
    one = Method("one", ("off",), ("Cr",), dict, "1")
    with pytest.raises(ConfigError, match="two one"):
        check_names([one, one])
    with pytest.raises(ConfigError, match="spectra of both, off"):
        Method("one", ("difference",), ("Cr",), dict, "1")
    with pytest.raises(ModelError, match="no model 'nothing'"):
        model_method("nothing")
