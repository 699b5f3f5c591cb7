"""The package's public names, and the layout that its modules keep: imports one way, short modules and functions."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fsl_mrs_dl

ROOT = Path(fsl_mrs_dl.__file__).parent
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] != "models")
ARROW = ("basis", "synth", "model", "train", "fit", "fslmrs", "cli")
"""A package imports from those left of it, and from the modules beside them (errors, axes and such)."""

LONGEST_MODULE, LONGEST_FUNCTION = 400, 60


def allowed(package):
    """Packages that the modules of one package may import from."""
    if package == "evaluate":
        return {*ARROW[: ARROW.index("fit") + 1], "evaluate"}
    if package == "cli":
        return {*ARROW, "evaluate"}
    return set(ARROW[: ARROW.index(package) + 1])


def tree(module):
    """Syntax tree of a module (relative path)."""
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def imported(module):
    """Dotted names that a module imports, wherever in it; those of fsl_mrs_dl in full."""
    package = ("fsl_mrs_dl", *module.parent.parts)
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield start
            yield from (f"{start}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", [path for path in MODULES if len(path.parts) > 1], ids=str)
def test_imports_follow_the_arrow(module):
    names = [name.split(".") for name in imported(module)]
    used = {name[1] for name in names if name[0] == "fsl_mrs_dl" and len(name) > 1}
    packages = {path.parts[0] for path in MODULES if len(path.parts) > 1}
    assert used & packages <= allowed(module.parts[0])


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_fsl_mrs_is_imported_at_one_edge(module):
    if module.parts[0] != "fslmrs":
        assert not any(name.split(".")[0] == "fsl_mrs" for name in imported(module))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_modules_and_functions_are_short(module):
    assert len((ROOT / module).read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE
    functions = (node for node in ast.walk(tree(module)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    assert {node.name for node in functions if node.end_lineno - node.lineno >= LONGEST_FUNCTION} == set()


def test_every_public_name_is_there():
    for name in fsl_mrs_dl.__all__:
        assert getattr(fsl_mrs_dl, name) is not None
        assert name in dir(fsl_mrs_dl)


def test_public_names_are_the_modules_own():
    from fsl_mrs_dl.fit.quantify import quantify
    from fsl_mrs_dl.model.checkpoint import load_model

    assert fsl_mrs_dl.quantify is quantify
    assert fsl_mrs_dl.load_model is load_model


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'quantise'"):
        fsl_mrs_dl.quantise


def test_importing_the_package_loads_nothing_heavy():
    heavy = ("torch", "lightning", "numpy", "scipy", "pandas", "matplotlib", "nibabel", "fsl_mrs")
    code = f"import sys, fsl_mrs_dl, fsl_mrs_dl.cli.main; print(sorted(set({heavy}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert found.stdout.strip() == "[]"
