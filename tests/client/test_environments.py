"""Environments by their names, wherever conda, mamba or a person keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from antivenom_client.environments import NoEnvironmentError, active_environment, find_environment

VARIABLES = (
    "CONDA_ROOT", "CONDA_EXE", "CONDA_PREFIX", "CONDA_ENVS_DIRS", "CONDA_ENVS_PATH", "MAMBA_ROOT_PREFIX", "MAMBA_EXE",
    "CONDARC", "MAMBARC", "XDG_CONFIG_HOME", "VIRTUAL_ENV",
)  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def make(prefix: Path) -> str:
    (prefix / "conda-meta").mkdir(parents=True)
    return str(prefix)


@pytest.mark.parametrize("variable", ["CONDA_ENVS_DIRS", "CONDA_ENVS_PATH"])
def test_folders_of_the_variables_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    make(tmp_path / "root" / "envs" / "work")
    mine = make(tmp_path / "mine" / "work")
    monkeypatch.setenv("CONDA_EXE", str(tmp_path / "root" / "bin" / "conda"))
    monkeypatch.setenv(variable, f"{tmp_path / 'other'}:{tmp_path / 'mine'}")
    assert find_environment("work") == mine


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("home/.condarc", "channels:\n- a\nenvs_dirs:\n  # mine\n  - '{0}'  # here\npkgs_dirs:\n  - /x\n"),
        ("home/.condarc", "envs_dirs: [/nowhere, \"{0}\"]\n"),
        ("home/.condarc", "envs_dirs:\n- ${{HOME}}/../kept\n"),
        ("home/.mambarc", "envs_dirs:\n- {0}\n"),
        ("home/.conda/condarc.d/a.yml", "envs_path:\n- {0}\n"),
        ("home/.config/conda/.condarc", "envs_dirs:\n  - ~/../kept\n"),
        ("root/.condarc", "envs_dirs:\n  - {0}\n"),
    ],
)  # fmt: skip
def test_condarc_files_name_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, text: str) -> None:
    make(tmp_path / "root")
    make(tmp_path / "kept" / "work")
    monkeypatch.setenv("CONDA_EXE", str(tmp_path / "root" / "condabin" / "conda"))
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(text.format(tmp_path / "kept"))
    assert Path(find_environment("work")).resolve() == (tmp_path / "kept" / "work").resolve()


def test_a_condarc_file_names_no_folder_of_another_list(home: Path, tmp_path: Path) -> None:
    make(tmp_path / "kept" / "work")
    (home / ".condarc").write_bytes(f"envs_dirs:\n- /x\npkgs_dirs:\n- {tmp_path / 'kept'}\n".encode() + b"\xff\xfe\n")
    with pytest.raises(NoEnvironmentError, match="/x"):
        find_environment("work")


def test_an_environment_anywhere_is_found_where_conda_wrote_it_down(home: Path, tmp_path: Path) -> None:
    kept = make(tmp_path / "project" / "env")
    (home / ".conda").mkdir()
    (home / ".conda" / "environments.txt").write_text(f"/gone/env\n{kept}\n")
    assert find_environment("env") == kept


@pytest.mark.parametrize("program", ["conda", "mamba", "micromamba"])
def test_a_program_on_the_path_says_where_the_root_is(tmp_path: Path, program: str) -> None:
    root = make(tmp_path / "root")
    work = make(tmp_path / "root" / "envs" / "work")
    (tmp_path / "root" / "bin").mkdir()
    (tmp_path / "root" / "bin" / program).write_text("")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / program).symlink_to(tmp_path / "root" / "bin" / program)
    assert (find_environment("base"), find_environment("work")) == (root, work)


def test_mambas_root_is_found(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    work = make(home / ".local" / "share" / "mamba" / "envs" / "work")
    assert find_environment("work") == work
    other = make(tmp_path / "other" / "envs" / "work")
    monkeypatch.setenv("MAMBA_ROOT_PREFIX", str(tmp_path / "other"))
    assert find_environment("work") == other


def test_the_active_environment_is_condas_or_a_virtual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert active_environment() == ""
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "venv"))
    assert active_environment() == str(tmp_path / "venv")
    monkeypatch.setenv("CONDA_PREFIX", make(tmp_path / "conda"))
    assert active_environment() == str(tmp_path / "conda")
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "gone"))
    assert active_environment() == ""
