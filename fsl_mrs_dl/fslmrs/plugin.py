"""The hook that makes the algorithm 'dl' known to FSL-MRS, whenever FSL-MRS is imported.

FSL-MRS has no plug-in mechanism, so this waits on `sys.meta_path` until one of three of its modules is loaded
and then wraps something of it: `fit_FSLModel`, through which everything in FSL-MRS fits, the text on methods of its
report, and the mean over the voxels of imaging, with which its command fsl_mrsi begins. Nothing is imported before.
`fsl_mrs_dl` installs it when it is imported, the start-up line of `start_line` when FSL-MRS is.
"""

import sys

HOOKS = {
    "fsl_mrs.utils.fitting": ("fit_FSLModel", "with_dl"),
    "fsl_mrs.utils.report": ("svs_methods_summary", "with_dl_summary"),
    "fsl_mrs.core.mrsi": ("MRSI", "with_usable_voxels"),
}
"""Module of FSL-MRS -> (its function or class, what wraps it: a function of `algorithm`)."""

COPIES = {"fsl_mrs.utils.fitting": ("fsl_mrs.core.mrs",)}
"""Module of FSL-MRS -> others that may hold its function by value."""


class Finder:
    """Finds the modules of `HOOKS` as Python would, and has them wrapped as soon as they are loaded."""

    def find_spec(self, name, path=None, target=None):
        """Spec of one of the modules, whose loader also wraps its function; None for any other module."""
        if name not in HOOKS:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = None if finder is self or find is None else find(name, path, target)
            if spec is not None:
                break
        else:
            return None
        execute = getattr(spec.loader, "exec_module", None)
        if execute is not None:

            def execute_and_wrap(module):
                execute(module)
                wrap(module)

            spec.loader.exec_module = execute_and_wrap
        return spec


def wrap(module):
    """Replace the function of a loaded module of `HOOKS`, also where it was copied to; once.

    A failure must not keep FSL-MRS from being imported, whatever it is: it becomes a warning.
    """
    try:
        from . import algorithm

        name, wrapper = HOOKS[module.__name__]
        original = getattr(module, name)
        if hasattr(original, "fsl_mrs_dl"):
            return
        wrapped = getattr(algorithm, wrapper)(original)
        setattr(module, name, wrapped)
        for copy in COPIES.get(module.__name__, ()):
            if getattr(sys.modules.get(copy), name, None) is original:
                setattr(sys.modules[copy], name, wrapped)
    except Exception as exc:
        import warnings

        warnings.warn(f"fsl_mrs_dl cannot add the algorithm 'dl' to this FSL-MRS ({exc!r}).", stacklevel=2)


def install():
    """Put the finder in front of the others, once, and wrap what is loaded already."""
    if not any(type(finder).__name__ == "Finder" and type(finder).__module__ == __name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
    for name in HOOKS:
        if name in sys.modules:
            wrap(sys.modules[name])
