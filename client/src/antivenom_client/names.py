"""Names of packages and channels, as matching compares them."""

from __future__ import annotations

_SYSTEMS = frozenset(("linux", "osx", "win", "emscripten", "wasi", "freebsd", "zos"))


def normalize_python(name: str) -> str:
    """A PyPI project name as PEP 503 compares it."""
    plain = name.replace("_", "-").replace(".", "-").lower()
    while "--" in plain:
        plain = plain.replace("--", "-")
    return plain


def channel_name(channel: str) -> str:
    """The name by which maps know a channel: `conda-forge` of `https://conda.anaconda.org/conda-forge/linux-64`."""
    path = channel.split("://", 1)[-1].split("?")[0].rstrip("/")
    parts = [part for part in path.split("/") if part]
    while len(parts) > 1 and _is_subdir(parts[-1]):
        parts.pop()
    return parts[-1].lower() if parts else ""


def _is_subdir(part: str) -> bool:
    system, _, processor = part.partition("-")
    return part == "noarch" or (system in _SYSTEMS and processor.replace("_", "a").isalnum())


def products_of_equal_name(name: str) -> list[str]:
    """The CPE products ("vendor:product") that a conda package of this name may be, where nothing else is known."""
    texts = [name]
    if name.startswith("lib") and len(name) > 6:
        texts.append(name[3:])
    return [f"{vendor}:{text}" for text in texts for vendor in (text, f"{text}_project")]


def guessed_keys(name: str) -> list[str]:
    """The packages ("ecosystem/name") that advisories may mean by a conda name of which no map and no table knows."""
    keys = [f"conda/{name}", f"pypi/{normalize_python(name)}"]
    keys += [f"cpe/{product}" for product in products_of_equal_name(name)]
    for prefix, ecosystem in (("r-", "cran"), ("bioconductor-", "bioconductor")):
        if name.startswith(prefix):
            keys.append(f"{ecosystem}/{name[len(prefix) :]}")
    return keys
