"""The layers of docs/architecture.md are those that `make lint` checks, and the check can fail."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS: list[dict[str, Any]] = PROJECT["tool"]["importlinter"]["contracts"]
BY_NAME = {contract["name"]: contract for contract in CONTRACTS}
LAYERS = BY_NAME["layers of the runtime"]["layers"]


def lint(folder: Path, contract: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Check one contract, in a process of its own."""
    lines = ["[tool.importlinter]", "include_external_packages = true"]
    lines += [f"root_packages = {json.dumps(PROJECT['tool']['importlinter']['root_packages'])}"]
    lines += ["[[tool.importlinter.contracts]]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in contract.items()]
    (folder / "pyproject.toml").write_text("\n".join(lines))
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", list(BY_NAME))
def test_contract_holds(name: str, tmp_path: Path) -> None:
    done = lint(tmp_path, BY_NAME[name])
    assert done.returncode == 0, done.stdout


def test_contract_fails_when_a_layer_imports_one_above_it(tmp_path: Path) -> None:
    swapped = [*LAYERS[1:], LAYERS[0]]  # the command line below everything that it imports
    done = lint(tmp_path, {**BY_NAME["layers of the runtime"], "layers": swapped})
    assert done.returncode != 0
    assert "is not allowed to import bark_onnx.runtime.bark" in " ".join(done.stdout.split())


def test_contract_fails_when_a_package_has_no_layer(tmp_path: Path) -> None:
    done = lint(tmp_path, {**BY_NAME["layers of the runtime"], "layers": LAYERS[1:]})
    assert done.returncode != 0
    assert "cli" in done.stdout


@pytest.mark.parametrize("name", [name for name in BY_NAME if name.startswith("only ")])
def test_contract_fails_when_another_layer_imports_a_library(name: str, tmp_path: Path) -> None:
    contract = {**BY_NAME[name], "forbidden_modules": ["numpy"], "ignore_imports": []}
    assert lint(tmp_path, contract).returncode != 0


def test_layers_of_the_page_are_those_of_the_contract() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (drawing,) = re.findall(r"## Layers\n.*?```\n(.*?)─", page, re.DOTALL)
    shown = [re.split(r"\s{2,}", line)[0] for line in drawing.splitlines() if line.strip()]
    assert shown == LAYERS


@pytest.mark.parametrize("package", ["export", "graphs", "transformers"])
def test_page_shows_the_layers_of_the_other_packages(package: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    layers = BY_NAME[f"layers of {package}"]["layers"]
    assert re.search(rf"^{package} +{re.escape(' → '.join(layers))}$", page, re.MULTILINE)
