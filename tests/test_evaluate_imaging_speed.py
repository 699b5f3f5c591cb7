"""Times of imaging: commands of known duration, the simulated grid and the masks."""

import sys

import nibabel as nib
import numpy as np
import pytest

from fsl_mrs_dl.errors import ConfigError, DataError, FslMrsDlError
from fsl_mrs_dl.evaluate.imaging_speed import Speed, commands, few_of, measure_speed, simulate_grid, time_command
from fsl_mrs_dl.fit.volume import read_volume


def test_times_of_voxels_are_those_after_the_start():
    seconds = {"all": (5.0, 9.0), "few": (3.0, 4.0)}  # 2 s to start, 0.5 s a voxel
    speed = measure_speed("x", lambda mask: [mask], ("all", 6), ("few", 2), 3, lambda words: seconds[words[0]])
    assert speed == Speed("x", 6, 2, 5.0, 3.0, 9.0, 4.0)
    assert (speed.voxels_per_s, speed.further_per_s, speed.cpu_ms) == (6 / 5, 2.0, 1250.0)
    assert np.isnan(Speed("x", 6, 2, 3.0, 3.0, 9.0, 4.0).further_per_s)


def test_a_command_is_timed_with_its_processes_and_its_failure_is_said():
    wall_s, cpu_s = time_command([sys.executable, "-c", "import time; time.sleep(0.2)"])
    assert wall_s > 0.2 and 0 < cpu_s < wall_s
    with pytest.raises(FslMrsDlError, match="exit code 3 .broken."):
        time_command([sys.executable, "-c", "import sys; print('broken', file=sys.stderr); sys.exit(3)"])


def test_the_grid_is_one_that_is_fitted_and_the_few_are_of_its_mask(single_basis, tmp_path):
    data, mask = simulate_grid(tmp_path, single_basis, (3, 2, 2))
    volume = read_volume(data, mask)
    assert (volume.shape, volume.points) == ((3, 2, 2), 1024) and len(volume.voxels) == 12 and not volume.mirrored
    assert few_of(mask, 2, tmp_path / "few.nii.gz") == 12
    assert np.asarray(nib.load(tmp_path / "few.nii.gz").dataobj).sum() == 2
    with pytest.raises(ConfigError, match="more than 12"):
        few_of(mask, 12, tmp_path / "none.nii.gz")
    (tmp_path / "text.nii.gz").write_text("no image")
    with pytest.raises(DataError, match="cannot be read"):
        few_of(tmp_path / "text.nii.gz", 2, tmp_path / "none.nii.gz")


def test_commands_take_the_same_data_and_basis_set(tmp_path):
    made = commands("d.nii.gz", "basis", "hybrid_off", ["Cr"], tmp_path, (2, 0))
    ours = ["fsl_mrs_dl", "fsl_mrs_dl --no_trust"]
    assert list(made) == [*ours, "fsl_mrsi (Newton), 2 workers", "fsl_mrsi (Newton), one process"]
    words = [command("m.nii.gz")[1:] for command in made.values()]
    assert [one[1] for one in words] == [*["fsl_mrs_dl.cli.main"] * 2, *["fsl_mrs.scripts.fsl_mrsi"] * 2]
    assert all(one[2:8] == ["--data", "d.nii.gz", "--mask", "m.nii.gz", "--basis", "basis"] for one in words)
    assert "--parallel-workers 2" in " ".join(words[2]) and "--parallel off" in " ".join(words[3])
    assert "--no_trust" not in words[0] and "--no_trust" in words[1]
