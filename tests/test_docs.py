"""What the documents say is what was measured, and what they link to is there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("figures", ROOT / "scripts" / "figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["README.md", "docs/models/mood.md"])
def test_the_figures_of_the_model_are_the_measured_ones(page: str, figures: ModuleType) -> None:
    assert figures.table() in (ROOT / page).read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_the_names_of_the_fixed_contract_are_explained_in_the_readme() -> None:
    words = (ROOT / "README.md").read_text()
    for name in ("mood", "grade", "look", "label", "confidence", "certain", "reason", "--cropped", "--json", "--annotate"):
        assert re.search(rf"{re.escape(name)}\b", words), name
