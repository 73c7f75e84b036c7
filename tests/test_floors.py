"""The floor plan: imports go down, and importing happysad loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ENVIRONMENT

SOURCE = Path(__file__).parents[1] / "src" / "happysad"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "__main__.py")

GROUND, EYES, SIGHT, RECORDS, WORK, REPORT, LEAVES, TOP = range(8)
FLOORS = {
    "errors": GROUND,
    "parallel": GROUND,
    "archive": EYES,
    "image": EYES,
    "faces": EYES,
    "contract": EYES,
    "metrics": EYES,
    "drawn": EYES,
    "predict": SIGHT,
    "manifest": RECORDS,
    "recipe": RECORDS,
    "rundir": RECORDS,
    "report": REPORT,
    "train": LEAVES,
    "rest": LEAVES,
    "webapp": LEAVES,
    "batch_ray": LEAVES,
    "video": LEAVES,
    "cli": TOP,
}
"""Rooms by the first part of their name; all that are not named here are on the floor `WORK`."""

BASE = {"numpy", "PIL", "onnxruntime", "click", "rich"}


def name_of(path: Path) -> str:
    """``happysad.cli.predict`` for its file, and ``happysad.cli`` for the ``__init__.py`` there."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of modules that a piece of code imports; for ``from a import b`` it is ``a.b`` if that is a module of ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in NAMES else node.module or "" for name in whole)


def at_import_time(tree: ast.Module) -> ast.Module:
    """The code without the bodies of functions and of ``if TYPE_CHECKING``, which do not run when it is imported."""

    class Outside(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else self.generic_visit(node)

    tree = Outside().visit(tree)
    return tree


def room(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_nothing_from_a_floor_above_its_own(path: Path) -> None:
    if path == SOURCE / "__init__.py":
        return  # the front door shows what lies on all floors
    own = FLOORS.get(room(name_of(path)), WORK)
    ours = {module for module in imported(ast.parse(path.read_text("utf-8"))) if module.startswith("happysad.")}
    above = {module for module in ours if FLOORS.get(room(module), WORK) > own and not room(module).startswith("__")}
    assert above == set()


def test_no_two_modules_need_each_other() -> None:
    names = NAMES - {"happysad"}
    needs = {name_of(path): {*imported(ast.parse(path.read_text("utf-8")))} & names for path in MODULES}
    settled: set[str] = set()
    while ready := {name for name in names - settled if needs[name] - {name} <= settled}:
        settled |= ready
    assert names - settled == set()


@pytest.mark.parametrize("path", [path for path in MODULES if room(name_of(path)) != "train"], ids=name_of)
def test_outside_training_only_the_base_install_is_imported_at_the_top_of_a_module(path: Path) -> None:
    tree = at_import_time(ast.parse(path.read_text("utf-8")))
    parts = {module.split(".")[0] for module in imported(tree)}
    assert parts - BASE - set(sys.stdlib_module_names) - {"happysad"} == set()


@pytest.mark.parametrize("path", [path for path in MODULES if room(name_of(path)) != "train"], ids=name_of)
def test_only_the_training_room_imports_keras(path: Path) -> None:
    parts = {module.split(".")[0] for module in imported(ast.parse(path.read_text("utf-8")))}
    assert parts & {"keras", "tensorflow", "keras_tuner", "tf2onnx"} == set()


def loaded_by(code: str) -> set[str]:
    """Top-level modules that are loaded after some code ran in a fresh Python."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    return set(done.stdout.split())


def test_importing_happysad_loads_nothing_heavy() -> None:
    heavy = {"numpy", "PIL", "onnxruntime", "click", "rich", "keras", "tensorflow", "pandas", "matplotlib", "sklearn", "ray"}
    assert loaded_by("import happysad") & heavy == set()
    assert {"numpy", "onnxruntime"} <= loaded_by("import happysad; happysad.Predictor")


def test_asking_for_help_loads_no_model_code() -> None:
    code = "from happysad.cli import main\ntry: main(['predict', '--help'])\nexcept SystemExit: print()"
    assert loaded_by(code) & {"numpy", "PIL", "onnxruntime", "keras", "pandas"} == set()


@pytest.mark.parametrize(
    "before",
    [
        "",
        "from happysad.predict import Predictor",
        "happysad.Predictor",
        "import happysad.predict",
        "import happysad.cli.predict",
    ],
)
def test_predict_is_the_function_whatever_was_imported_before(before: str) -> None:
    code = f"import happysad\n{before}\nassert happysad.predict.__name__ == 'predict', happysad.predict"
    assert "happysad" in loaded_by(code)


def test_all_public_names_are_there() -> None:
    import happysad

    assert [name for name in happysad.__all__ if not hasattr(happysad, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        happysad.nonsense  # noqa: B018
