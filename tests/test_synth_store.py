"""A file of scans equals the stream it was made from, also after a kill or a full disk."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.errors import ConfigError, DataError, OutputError
from fsl_mrs_dl.synth import store
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import RECIPES
from fsl_mrs_dl.synth.store import Contents, StoredScans, write_scans

from .test_synth_dataset import pool_of

from .conftest import PHANTOM


def write(basis, path, recipe=PHANTOM, number=40, seed=3, batch=8, pool=None, progress=None):
    """Write a small file; returns its stream."""
    stream = Stream(basis, recipe, seed, pool, batch)
    write_scans(stream, Contents.of(stream, basis, pool, number), path, progress)
    return stream


def data_sets(path):
    """Every data set of a file by its name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def assert_same(path, other):
    """Two files with the same data sets, bit for bit."""
    first, second = data_sets(path), data_sets(other)
    assert first.keys() == second.keys() and "parameters/lorentz_hz" in first
    for name, values in first.items():
        assert np.asarray(values).tobytes() == np.asarray(second[name]).tobytes(), name


@pytest.mark.parametrize("recipe", ["phantom", "published", "scanner", "single-gg", "multi-gg"])
def test_a_file_gives_the_batches_of_the_stream(tiny_basis, tmp_path, recipe):
    pool = pool_of(tiny_basis, (1.0, 2.0))
    stream = write(tiny_basis, tmp_path / "set.h5", RECIPES[recipe], number=20, pool=pool)
    stored = StoredScans(tmp_path / "set.h5")
    assert (stored.recipe, stored.seed, stored.batch, stored.scans, len(stored)) == (RECIPES[recipe], 3, 8, 20, 2)
    for index in range(2):
        made, kept = stream[index], stored[index]
        assert torch.equal(made.measured, kept.measured) and torch.equal(made.clean, kept.clean)
        for name, values in vars(made.draw).items():
            assert torch.equal(torch.as_tensor(values), torch.as_tensor(getattr(kept.draw, name))), name
    assert torch.equal(stored[2].measured, stored[0].measured)
    with h5py.File(tmp_path / "set.h5") as file:
        assert torch.equal(torch.from_numpy(file["measured"][16:20]), stream[2].measured[:4])
        assert file["measured"].chunks == (8, 2, 2048)


def test_a_killed_command_continues(tiny_basis, tmp_path):
    write_basis(tiny_basis, tmp_path / "basis")
    options = ["--basis", str(tmp_path / "basis"), "--number", "2000", "--batch", "16", "--seed", "4"]
    command = [sys.executable, "-m", "fsl_mrs_dl.cli.main", "generate", *options, "--output"]
    killed = tmp_path / "killed.h5"
    for share in (0.1, 0.4):
        process = subprocess.Popen([*command, str(killed)], stderr=subprocess.PIPE)
        text = b""
        while process.poll() is None and not _shown(text) >= share * 2000:
            text += process.stderr.read1(200)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, text
        process.stderr.close()
        with h5py.File(killed) as file:
            assert share * 2000 <= 16 * file["finished"][0] < 2000
    subprocess.run([*command, str(killed)], check=True, capture_output=True)
    subprocess.run([*command, str(tmp_path / "whole.h5")], check=True, capture_output=True)
    assert_same(killed, tmp_path / "whole.h5")
    assert {path.name for path in tmp_path.iterdir()} == {"basis", "killed.h5", "whole.h5"}


def _shown(text):
    """The last number of finished scans in the text of a progress bar."""
    numbers = [part.split(b"/2000")[0].split(b"|")[-1].strip() for part in text.split(b"\r") if b"/2000 [" in part]
    return int(numbers[-1]) if numbers else 0


def test_a_batch_that_was_half_written_is_written_again(tiny_basis, tmp_path):
    write(tiny_basis, tmp_path / "whole.h5")
    write(tiny_basis, tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "r+") as file:
        file["finished"][0] = 2
        file["measured"][18:] = 0
        file["parameters/noise_sigma"][16:] = 7
    assert StoredScans(tmp_path / "set.h5").scans == 16
    write(tiny_basis, tmp_path / "set.h5")
    assert_same(tmp_path / "set.h5", tmp_path / "whole.h5")


def test_an_interrupt_leaves_whole_batches(tiny_basis, tmp_path):
    def interrupt(done):
        if done == 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tiny_basis, tmp_path / "set.h5", progress=interrupt)
    stored = StoredScans(tmp_path / "set.h5")
    assert (stored.scans, stored.contents.number) == (24, 40)
    stored.file.close()
    seen = []
    write(tiny_basis, tmp_path / "set.h5", progress=seen.append)
    assert seen == [24, 32, 40]


def test_a_full_disk(tiny_basis, tmp_path, monkeypatch):
    whole = store._write_batch

    def fail(file, contents, index, batch):
        if index == 3:
            raise OSError("[Errno 28] Can't write (file write failed: errno = 28, error message = 'No space left')")
        whole(file, contents, index, batch)

    monkeypatch.setattr(store, "_write_batch", fail)
    with pytest.raises(OutputError, match=r"\(No space left\); its first 24 of 40 scans are whole.*same command"):
        write(tiny_basis, tmp_path / "set.h5")
    assert StoredScans(tmp_path / "set.h5").scans == 24
    monkeypatch.undo()
    write(tiny_basis, tmp_path / "whole.h5")
    write(tiny_basis, tmp_path / "set.h5")
    assert_same(tmp_path / "set.h5", tmp_path / "whole.h5")


def test_no_place_at_all(tiny_basis, tmp_path):
    with pytest.raises(OutputError, match="cannot be made .No such file"):
        write(tiny_basis, tmp_path / "nowhere" / "set.h5")
    assert not list(tmp_path.iterdir())


def test_another_recipe_seed_basis_or_size_is_refused(tiny_basis, tmp_path):
    path = tmp_path / "set.h5"
    write(tiny_basis, path)
    before = path.read_bytes()
    cases = {
        "phase_rad": {"recipe": replace(PHANTOM, phase_rad=(0.0, 0.1))},
        "seed .3, not 4": {"seed": 4},
        "number .40, not 48": {"number": 48},
        "batch": {"batch": 4},
        "pool .none": {"pool": pool_of(tiny_basis, (1.0,))},
    }
    for words, options in cases.items():
        with pytest.raises(OutputError, match=f"begun with another .*{words}"):
            write(tiny_basis, path, **options)
    with pytest.raises(OutputError, match="another (basis|members)"):
        write(replace(tiny_basis, fids=2 * tiny_basis.fids), path)
    # HDF5 marks a file while it is open for writing; nothing else of it changed.
    assert path.read_bytes()[96:] == before[96:]


def test_a_file_of_an_earlier_version_is_not_continued(tiny_basis, tmp_path):
    path = tmp_path / "set.h5"
    write(tiny_basis, path)
    with h5py.File(path, "r+") as file:
        del file["parameters/on_member"]
        file["finished"][0] = 2
    with pytest.raises(ConfigError, match="another version, without on_member"):
        write(tiny_basis, path)


def test_files_of_something_else(tiny_basis, tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    for name in ("text.h5", "other.h5"):
        with pytest.raises((ConfigError, OutputError), match=name):
            StoredScans(tmp_path / name)
        with pytest.raises(OutputError, match="choose another"):
            write(tiny_basis, tmp_path / name)
    with pytest.raises(ConfigError, match="no file"):
        StoredScans(tmp_path / "none.h5")
    assert os.listdir(tmp_path) and (tmp_path / "text.h5").read_text() == "no HDF5"


def _replace(name, value):
    """A spoiler that puts another data set, or none, in place of one."""

    def spoil(file):
        del file[name]
        if value is not None:
            file[name] = value

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        _replace("recipe", None),
        _replace("recipe", "{"),
        _replace("recipe", "[" * 100_000),
        _replace("recipe", '{"name": "x", "colour": 1}'),
        _replace("recipe", 3),
        _replace("finished", None),
        _replace("finished", 1),
        _replace("finished", [99]),
        _replace("finished", [-1]),
        _replace("measured", None),
        _replace("clean", np.zeros(4, np.complex64)),
        _replace("measured", "text"),
        lambda file: file.attrs.__delitem__("contents"),
        lambda file: file.attrs.__setitem__("contents", "[1]"),
        lambda file: file.attrs.__setitem__("contents", '{"seed": 1}'),
        lambda file: file.attrs.__setitem__("contents", 5),
    ],
)
def test_damaged_files_are_refused(tiny_basis, tmp_path, spoil):
    path = tmp_path / "set.h5"
    write(tiny_basis, path, number=16)
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(ConfigError, match="set.h5 is damaged") as caught:
        StoredScans(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="set.h5 is damaged"):
        write(tiny_basis, path, number=16)


def test_damage_found_while_reading_is_one_line(tiny_basis, tmp_path):
    path = tmp_path / "set.h5"
    write(tiny_basis, path, number=16)
    stored = StoredScans(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match="Scans 8 to 15 of .*set.h5 cannot be read") as caught:
        stored[1]
    assert "\n" not in str(caught.value)


def test_a_file_of_another_format_is_refused(tiny_basis, tmp_path):
    path = tmp_path / "set.h5"
    write(tiny_basis, path, number=16)
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = [1, 2]
    with pytest.raises(OutputError, match="is no"):
        StoredScans(path)


def test_another_basis_set_or_pool_cannot_be_trained_on(tiny_basis, tmp_path):
    pool = pool_of(tiny_basis, (1.0, 2.0))
    write(tiny_basis, tmp_path / "set.h5", pool=pool)
    stored = StoredScans(tmp_path / "set.h5")
    stored.check(tiny_basis, pool)
    with pytest.raises(ConfigError, match="basis"):
        stored.check(tiny_basis.keep(("Cr", "NAA")), pool)
    with pytest.raises(ConfigError, match="pool"):
        stored.check(tiny_basis, None)


def test_memory_does_not_grow_with_the_file(tiny_basis, tmp_path):
    contents = Contents.of(stream := Stream(tiny_basis, PHANTOM, 1, None, 4), tiny_basis, None, 1_000_000)
    assert contents.bytes() == pytest.approx(65.5e9, rel=0.01)

    def stop(done):
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scans(stream, contents, tmp_path / "set.h5", stop)
    assert StoredScans(tmp_path / "set.h5").scans == 8
    used = (tmp_path / "set.h5").stat().st_blocks * 512
    assert used < 500e6
