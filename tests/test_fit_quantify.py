"""The whole way on simulated scans: files in, contents out; scan, model and basis set must belong together."""

from dataclasses import replace

import numpy as np
import pytest
from nifti_mrs.create_nmrs import gen_nifti_mrs

from fsl_mrs_dl.errors import DataError, ModelError
from fsl_mrs_dl.fit.predict import predict
from fsl_mrs_dl.fit.quantify import Quantifier, quantify
from fsl_mrs_dl.fit.scan import Scan
from fsl_mrs_dl.model.checkpoint import save_model

from .conftest import CENTRE_HZ, make_basis

CONTENTS = np.array([0.5, 0.3, 1.0])


def fids_of(basis, shift_hz=0.0, phase_rad=0.0, width_hz=2.0, noise=0.002):
    """(condition, point) FIDs of known contents, shifted, phased and broadened."""
    t = np.arange(basis.points) * basis.dwell_s
    clean = np.einsum("k,ckn->cn", CONTENTS, basis.fids)
    clean = clean * np.exp((2j * np.pi * shift_hz - np.pi * width_hz) * t + 1j * phase_rad)
    rng = np.random.default_rng(3)
    level = noise * np.abs(clean).max()
    return clean + level * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape))


def scan_of(basis, **changes):
    """A Scan of known contents."""
    return Scan(
        fids=fids_of(basis, **changes),
        conditions=basis.conditions,
        dwell_s=basis.dwell_s,
        centre_hz=basis.centre_hz,
        nucleus="1H",
        echo_time_s=0.068,
        name="simulated",
        paths=(),
        affine=np.eye(4),
        notes=(),
    )


@pytest.mark.parametrize("points, dwell_s", [(2048, 5e-4), (4096, 2.5e-4), (1024, 4e-4)])
def test_contents_shift_phase_and_width_come_back_from_any_grid(tiny_model, tiny_basis, points, dwell_s):
    scan = scan_of(make_basis(points, dwell_s), shift_hz=7.0, phase_rad=0.8, width_hz=3.0)
    found = predict(tiny_model, scan, tiny_basis)
    np.testing.assert_allclose(found.concentrations, CONTENTS, atol=0.08)
    assert found.shift_hz == pytest.approx(7.0, abs=0.5) and found.phase_rad == pytest.approx(0.8, abs=0.15)
    assert found.lorentz_hz + found.gauss_hz == pytest.approx(3.0, abs=1.5)


def test_files_objects_and_scans_give_the_same_result(tiny_model, tiny_basis, tmp_path):
    save_model(tiny_model, tmp_path / "model")
    data = np.moveaxis(fids_of(tiny_basis), 0, -1)[None, None, None]
    nifti = gen_nifti_mrs(data, 5e-4, CENTRE_HZ * 1e-6, dim_tags=["DIM_EDIT", None, None])
    nifti.save(tmp_path / "scan.nii.gz")
    quantifier = Quantifier.__new__(Quantifier)
    quantifier.model, quantifier.basis, quantifier.options, quantifier._judges = tiny_model, tiny_basis, {}, {}
    basis = _basis_folder(tiny_basis, tmp_path)
    from_file = quantify(str(tmp_path / "scan.nii.gz"), tmp_path / "model", basis, "off-on")
    from_scan = quantifier(scan_of(tiny_basis))
    many = quantify([nifti, scan_of(tiny_basis)], tmp_path / "model", tmp_path / "basis", "off-on")
    assert isinstance(many, list) and len(many) == 2
    for result in (from_file, *many):
        np.testing.assert_allclose(
            result.concentrations["relative_to_largest"], from_scan.concentrations["relative_to_largest"], atol=2e-3
        )
    np.testing.assert_allclose(from_file.predicted + from_file.residual, from_file.scan.fids)


def _basis_folder(basis, tmp_path):
    """The basis set as a folder."""
    from fsl_mrs_dl.basis.basis_set import write_basis

    write_basis(basis, tmp_path / "basis")
    return tmp_path / "basis"


def test_a_foreign_basis_is_refused(tiny_model, tiny_basis):
    scan = scan_of(tiny_basis)
    with pytest.raises(ModelError, match="lacks NAA"):
        predict(tiny_model, scan, tiny_basis.keep(["Cr", "GABA"]))
    fids = tiny_basis.fids.copy()
    fids[1] *= 0.9
    with pytest.raises(ModelError, match="fingerprint"):
        predict(tiny_model, scan, replace(tiny_basis, fids=fids))


def test_a_scan_for_another_model_is_refused(tiny_model, tiny_basis):
    scan = scan_of(tiny_basis)
    with pytest.raises(ModelError, match="31P"):
        predict(tiny_model, replace(scan, nucleus="31P"), tiny_basis)
    with pytest.raises(DataError, match="T"):
        predict(tiny_model, replace(scan, centre_hz=297.2e6), tiny_basis)
    with pytest.raises(DataError, match="edit_on"):
        predict(tiny_model, replace(scan, fids=scan.fids[:1], conditions=("single",)), tiny_basis)
