"""Where conda's environments lie, found as conda and mamba find them, with the standard library alone.

Source: conda's `envs_dirs` and search path of condarc files (conda.base.context), `~/.conda/environments.txt`; mamba's
root prefix. YAML is read line by line: of a condarc file only the list `envs_dirs` counts.
"""

from __future__ import annotations

import os

PROGRAMS = ("conda", "mamba", "micromamba")
CONDARC_MAX_BYTES = 1 << 20
_ENVS_DIRS = ("envs_dirs:", "envs_path:")


class NoEnvironmentError(LookupError):
    """No environment has the name. `looked_in`: the folders that were looked into."""

    def __init__(self, looked_in: list[str]) -> None:
        super().__init__(", ".join(looked_in))
        self.looked_in = looked_in


def is_environment(path: str) -> bool:
    """Whether a folder is a conda prefix or a virtual environment."""
    return os.path.isdir(os.path.join(path, "conda-meta")) or os.path.isfile(os.path.join(path, "pyvenv.cfg"))


def active_environment() -> str:
    """The prefix that is activated: conda's, else a virtual one; "" for none."""
    active = os.environ.get("CONDA_PREFIX") or os.environ.get("VIRTUAL_ENV") or ""
    return active if active and is_environment(active) else ""


def find_environment(name: str) -> str:
    """The prefix of an environment by its name.

    Raises:
        NoEnvironmentError: No environment of that name is found.
    """
    roots = _roots()
    if name in ("base", "root"):
        for root in roots:
            if is_environment(root):
                return root
    places = _places(roots)
    for place in places:
        if is_environment(os.path.join(place, name)):
            return os.path.join(place, name)
    for prefix in _lines(os.path.expanduser("~/.conda/environments.txt")):
        if os.path.basename(prefix.rstrip("/\\")) == name and is_environment(prefix):
            return prefix
    raise NoEnvironmentError(list(roots) if name in ("base", "root") else places)


def _roots() -> list[str]:
    """The prefixes that conda or mamba themselves are installed in, the likeliest first."""
    found = [os.environ.get("CONDA_ROOT", ""), *_around(os.environ.get("CONDA_EXE", ""))]
    found.append(os.environ.get("MAMBA_ROOT_PREFIX", ""))
    found += _around(os.environ.get("MAMBA_EXE", ""))
    for program in PROGRAMS:
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            path = os.path.join(folder, program + (".exe" if os.name == "nt" else ""))
            if folder and os.path.isfile(path):
                found += [root for root in _around(path) if is_environment(root)]
    found += [path for path in map(os.path.expanduser, ("~/micromamba", "~/.local/share/mamba")) if os.path.isdir(path)]
    return _distinct(found)


def _around(program: str) -> list[str]:
    """The prefix of a program in its `bin`, `condabin` or `Scripts`, as it is named and where links lead."""
    return [os.path.dirname(os.path.dirname(path)) for path in (program, os.path.realpath(program)) if program]


def _places(roots: list[str]) -> list[str]:
    """The folders in which environments have names, in conda's order."""
    found = [
        os.path.expanduser(path)
        for variable in ("CONDA_ENVS_DIRS", "CONDA_ENVS_PATH")
        for path in os.environ.get(variable, "").replace(",", os.pathsep).split(os.pathsep)
    ]
    for file in _condarc_files(roots):
        found += _envs_dirs(file)
    found += [os.path.join(root, "envs") for root in roots]
    found.append(os.path.expanduser("~/.conda/envs"))
    return _distinct(found)


def _condarc_files(roots: list[str]) -> list[str]:
    """The configuration files that conda and mamba read, those that win first."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.join("~", ".config")
    found = [os.environ.get("CONDARC", ""), os.environ.get("MAMBARC", "")]
    prefix = os.environ.get("CONDA_PREFIX", "")
    found += [os.path.join(prefix, name) for name in (".condarc", "condarc") if prefix]
    found += ["~/.condarc", "~/.mambarc"]
    folders = ["~/.conda", f"{config}/conda", *roots, "/var/lib/conda", "/etc/conda"]
    for folder in folders:
        found += [os.path.join(folder, name) for name in (".condarc", "condarc", "condarc.d", ".mambarc")]
    files = []
    for path in map(os.path.expanduser, _distinct(found)):
        if os.path.isdir(path):
            names = sorted(os.listdir(path), reverse=True)
            files += [os.path.join(path, name) for name in names if name.endswith((".yml", ".yaml"))]
        elif os.path.isfile(path):
            files.append(path)
    return files


def _envs_dirs(file: str) -> list[str]:
    """The list `envs_dirs` of a condarc file, in block or flow style."""
    found: list[str] = []
    is_inside = False
    for line in _lines(file):
        text = line.split(" #")[0].rstrip()
        if is_inside and text.lstrip().startswith("- "):
            found.append(text.lstrip()[2:])
        elif is_inside and text and not text.startswith((" ", "#")):
            is_inside = False
        if text.startswith(_ENVS_DIRS):
            rest = text.partition(":")[2].strip()
            is_inside = not rest
            found += rest.strip("[]").split(",")
    paths = (path.strip().strip("'\"") for path in found)
    return [os.path.expanduser(os.path.expandvars(path)) for path in paths if path]


def _lines(path: str) -> list[str]:
    """The lines of a text file; none where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(CONDARC_MAX_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _distinct(paths: list[str]) -> list[str]:
    return list(dict.fromkeys(path for path in paths if path))
