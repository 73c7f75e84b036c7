"""What a plain ``pip install happysad`` must do without any extra: answer, and name the command for each part that is missing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

OPTIONAL = ("keras", "tensorflow", "pandas", "sklearn", "matplotlib", "fairlearn", "cleanlab", "gradio", "ray", "av")


def main() -> None:
    present = [name for name in OPTIONAL if importlib.util.find_spec(name)]
    assert not present, f"this check is for a base install, but {present} are installed"

    import happysad

    heavy = {"numpy", "PIL", "onnxruntime", "rich"} & set(sys.modules)
    assert not heavy, f"import happysad loads {heavy}"

    import numpy as np

    from happysad.drawn import draw_photo

    seen = happysad.predict([draw_photo(smile=1.0), np.zeros((80, 80, 3), np.uint8)])
    assert len(seen) == 2, seen
    assert seen[1].faces == ()

    _says("table of faces", 'pip install "happysad[data]"', seen.to_pandas)
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "faces.csv"
        manifest.write_text("path,label\na.jpg,happy\n")
        for command in (["demo"], ["evaluate", str(manifest)], ["data", "show", str(manifest)]):
            run = subprocess.run([sys.executable, "-m", "happysad", *command], capture_output=True, text=True)
            assert run.returncode == 1, (command, run)
            assert "pip install" in run.stderr, (command, run.stderr)
            assert "happysad[" in run.stderr, (command, run.stderr)
            assert "Traceback" not in run.stderr, run.stderr
    doctor = subprocess.run([sys.executable, "-m", "happysad", "doctor"], capture_output=True, text=True)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    print("base install: ok")


def _says(what: str, words: str, call: object) -> None:
    import happysad

    try:
        call()  # type: ignore[operator]
    except happysad.MissingExtraError as error:
        assert words in str(error), f"{what}: {error}"
    else:
        raise AssertionError(f"{what}: no error without the extra")


if __name__ == "__main__":
    main()
