"""The command line from outside: each command runs as a process of its own, as programs and people run it."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import COMMAND, ENVIRONMENT, ROOT, encoded
from PIL import Image

from happysad import doctor as examining
from happysad.cli import main
from happysad.contract import read_bundled
from happysad.drawn import draw_face
from happysad.errors import HappysadError
from happysad.predict import COLUMNS, Predictor

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def photos(tmp_path: Path, smile: np.ndarray) -> Path:
    """A folder of four photos, two of them below, of which one is no photo."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / "img10.png").write_bytes(encoded(smile))
    (folder / "img2.png").write_bytes(encoded(smile[:, ::-1]))
    (folder / "sub" / "broken.jpg").write_bytes(b"no photo")
    (folder / "sub" / "plain.jpg").write_bytes(encoded(np.full((60, 80, 3), 99, np.uint8), "JPEG"))
    return folder


def lines(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


# ---- predict --json


def test_json_has_a_line_per_photo_in_natural_order_and_the_run_goes_on_after_a_broken_one(
    happysad: Run, photos: Path, predictor: Predictor
) -> None:
    done = happysad("predict", photos, "--json")
    assert done.returncode == 1
    seen = lines(done)
    assert [line["path"] for line in seen] == [
        str(photos / name) for name in ("img2.png", "img10.png", "sub/broken.jpg", "sub/plain.jpg")
    ]
    assert seen[2]["error"].startswith("the file is not a photo, it looks like text; accepted are JPEG")
    assert seen == [predictor.predict(line["path"]).to_dict() for line in seen]
    assert done.stderr == b"1 of 4 photos could not be read.\n"


def test_photos_that_can_be_read_give_status_0_and_a_quiet_stderr(happysad: Run, photos: Path) -> None:
    done = happysad("predict", photos / "img2.png", photos / "sub" / "plain.jpg", photos / "img2.png", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [Path(line["path"]).name for line in lines(done)] == ["img2.png", "plain.jpg", "img2.png"]


def test_a_missing_photo_is_a_line_with_an_error(happysad: Run, tmp_path: Path) -> None:
    done = happysad("predict", "missing.jpg", "--json", cwd=tmp_path)
    expected: dict[str, Any] = {
        "path": "missing.jpg",
        "width": None,
        "height": None,
        "error": "there is no such file: check the path",
        "faces": [],
    }
    assert (done.returncode, lines(done)) == (1, [expected])


def test_a_photo_may_come_from_standard_input_and_be_named_twice(
    happysad: Run, photos: Path, smile: np.ndarray, predictor: Predictor
) -> None:
    done = happysad("predict", "-", "-", "--json", "--annotate", photos / "out", stdin=encoded(smile))
    expected = predictor.predict(smile).to_dict() | {"path": "-"}
    assert (done.returncode, lines(done)) == (0, [expected, expected])
    assert Image.open(photos / "out" / "stdin-looks.jpg").size == (480, 360)
    assert [line["error"][:17] for line in lines(happysad("predict", "-", "--json"))] == ["the file is empty"]


def test_a_pattern_means_the_photos_it_matches(happysad: Run, photos: Path) -> None:
    assert [Path(line["path"]).name for line in lines(happysad("predict", photos / "**" / "*.jpg", "--json"))] == [
        "broken.jpg",
        "plain.jpg",
    ]


def test_a_folder_without_photos_is_said_so(happysad: Run, tmp_path: Path) -> None:
    done = happysad("predict", tmp_path, "--json")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == f"There is no photo in {tmp_path}.\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_a_file_name_that_is_not_utf_8_passes_through(happysad: Run, photos: Path, smile: np.ndarray) -> None:
    odd = os.fsencode(photos) + b"/caf\xe9\n.png"
    with open(odd, "wb") as file:
        file.write(encoded(smile))
    (line,) = lines(happysad("predict", odd, "--json"))
    assert os.fsencode(line["path"]) == odd
    table, rows_file = happysad("predict", odd, "--csv", photos / "x.csv"), photos / "x.csv"
    assert table.returncode == 0
    assert rb"caf\udce9\n.png" in table.stdout
    assert rb"caf\udce9" in rows_file.read_bytes()


def test_faces_largest_and_cropped_are_obeyed(happysad: Run, photos: Path) -> None:
    (photos / "crop.png").write_bytes(encoded(draw_face(1.0, 64)))
    (line,) = lines(happysad("predict", photos / "crop.png", "--json", "--cropped"))
    assert [face["box"] for face in line["faces"]] == [None]
    (photos / "two.png").write_bytes(encoded(np.concatenate([draw_face(1.0, 200), draw_face(1.0, 200)], axis=1)))
    (line,) = lines(happysad("predict", photos / "two.png", "--json", "--faces", "largest"))
    assert len(line["faces"]) <= 1


def test_another_model_file_may_be_given(happysad: Run, photos: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(read_bundled("mood.onnx"))
    photo = photos / "img2.png"
    assert happysad("predict", photo, "--json", "--model", model).stdout == happysad("predict", photo, "--json").stdout


# ---- usage and failures


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Missing argument 'PATH...'"),
        (["x.jpg", "--faces", "most"], "'most' is not one of 'all', 'largest'"),
        (["x.jpg", "--model", "missing.onnx"], "File 'missing.onnx' does not exist"),
        (["x.jpg", "--nonsense"], "No such option"),
        (["x.jpg", "--csv", "missing/x.csv"], "missing/x.csv cannot be written: No such file or directory"),
        (["x.jpg", "--annotate", "file"], "'file' is a file"),
        (["x-looks.jpg", "x.jpg", "--annotate", "."], "the copy x-looks.jpg would overwrite a photo that is read"),
    ],
)
def test_what_is_not_understood_gives_status_2_and_computes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["predict", *arguments])
    assert result.exit_code == 2
    assert complaint in result.output
    assert "Usage: " in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_model_that_is_none_gives_one_sentence_and_status_1(happysad: Run, photos: Path) -> None:
    done = happysad("predict", photos, "--model", photos / "img2.png")
    assert (done.returncode, done.stdout) == (1, b"")
    expected = "Error: the model file is not an ONNX file that onnxruntime can load; expected one made by happysad\n"
    assert done.stderr.decode() == expected


def test_an_error_of_the_library_in_any_command_is_one_sentence_and_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise HappysadError("the cat sits on the keyboard; move it")

    monkeypatch.setattr(type(main), "get_command", lambda *_: click.Command("fail", callback=fail))
    result = CliRunner().invoke(main, ["fail"])
    assert (result.exit_code, result.output) == (1, "Error: the cat sits on the keyboard; move it\n")


def test_ctrl_c_in_any_command_gives_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(main), "get_command", lambda *_: click.Command("wait", callback=interrupt))
    assert CliRunner().invoke(main, ["wait"]).exit_code == 130


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to the tests too")
def test_ctrl_c_keeps_what_is_done(photos: Path, tmp_path: Path, smile: np.ndarray) -> None:
    table = tmp_path / "x.csv"
    many = [str(photos / "img2.png")] * 3000
    running = subprocess.Popen(
        [*COMMAND, "predict", *many, "--json", "--csv", str(table)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert running.stdout
    first = running.stdout.readline()
    running.send_signal(signal.SIGINT)
    rest, notes = running.communicate()
    done = [json.loads(line) for line in (first + rest).splitlines()]  # each line is whole
    assert running.returncode == 130
    assert 1 <= len(done) < 3000
    assert re.fullmatch(r"Stopped after (\d+) of 3000 photos\.\n", notes.decode())
    with table.open(newline="") as file:
        assert len(list(csv.DictReader(file))) >= sum(max(1, len(photo["faces"])) for photo in done) - 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("x.csv")] == ["x.csv"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix pipe")
def test_a_reader_that_leaves_early_causes_no_traceback(photos: Path) -> None:
    many = [str(photos / "img2.png")] * 400
    running = subprocess.Popen(
        [*COMMAND, "predict", *many, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    )
    assert running.stdout
    assert running.stderr
    json.loads(running.stdout.readline())
    running.stdout.close()
    assert running.stderr.read() == b""
    assert running.wait() == 1


def test_lines_come_as_photos_are_done(photos: Path, tmp_path: Path) -> None:
    """The second photo is a pipe that nobody has written to yet: the first line must not wait for it."""
    pipe = tmp_path / "pipe"
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs a Unix pipe")
    os.mkfifo(pipe)
    photo = photos / "img2.png"
    running = subprocess.Popen([*COMMAND, "predict", str(photo), str(pipe), "--json"], stdout=subprocess.PIPE, env=ENVIRONMENT)
    assert running.stdout
    guard = threading.Timer(60, running.kill)  # rather a failure than a wait without end
    guard.start()
    first = json.loads(running.stdout.readline())
    assert first["path"] == str(photo)
    pipe.write_bytes(photo.read_bytes())
    second = json.loads(running.stdout.readline())
    assert second == first | {"path": str(pipe)}
    assert running.wait() == 0
    guard.cancel()


# ---- the table, the CSV file, the copies


def test_a_person_gets_a_table_with_looks_and_reasons(happysad: Run, photos: Path, predictor: Predictor) -> None:
    done = happysad("predict", photos)
    text = done.stdout.decode().splitlines()
    assert done.returncode == 1
    assert text[0].split() == ["file", "face", "looks", "mood", "confidence", "certain?"]
    (photo,) = [line for line in text if "img10.png" in line]
    face = predictor.predict(photos / "img10.png").faces[0]
    ending = "certain" if face.certain else f"not sure, because {face.reason}"
    cells = [str(photos / "img10.png"), "1", f"looks {face.grade}", f"{face.mood:+.2f}", f"{face.confidence:.0%} {face.label}"]
    assert re.split(r"\s{2,}", photo.strip()) == [*cells, ending]
    assert [line.rstrip().endswith("no face found") for line in text if "plain.jpg" in line] == [True]
    assert ["failed: the file is not a photo" in line for line in text if "broken.jpg" in line] == [True]
    assert " is happy" not in done.stdout.decode()


def test_csv_has_the_rows_of_the_library(happysad: Run, photos: Path, tmp_path: Path, predictor: Predictor) -> None:
    table = tmp_path / "x.csv"
    table.write_text("old")
    assert happysad("predict", photos, "--json", "--csv", table).returncode == 1
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        found = list(reader)
    assert tuple(reader.fieldnames or ()) == COLUMNS
    assert [Path(row["path"]).name for row in found] == ["img2.png", "img10.png", "broken.jpg", "plain.jpg"]
    face = predictor.predict(photos / "img2.png").faces[0]
    assert face.box
    assert [float(found[0][name]) for name in ("p_happy", "mood")] == [face.p["happy"], face.mood]
    assert [found[0][name] for name in ("x0", "grade", "certain", "error")] == [
        str(face.box[0]),
        face.grade,
        str(face.certain),
        "",
    ]
    assert found[2]["error"].startswith("the file is not a photo")


def test_annotated_copies_are_written_beside_nothing_else(happysad: Run, photos: Path) -> None:
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    folder = photos / "new" / "marked"
    assert happysad("predict", photos, "--json", "--annotate", folder).returncode == 1
    assert sorted(path.name for path in folder.iterdir()) == ["img10-looks.png", "img2-looks.png", "plain-looks.jpg"]
    assert Image.open(folder / "img10-looks.png").size == (480, 360)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminal")
@pytest.mark.parametrize(("photos_n", "bar"), [(5, False), (6, True)])
def test_a_bar_is_shown_on_a_terminal_for_more_than_a_handful(photos: Path, photos_n: int, bar: bool) -> None:
    import pty

    ours, theirs = pty.openpty()
    many = [str(photos / "img2.png")] * photos_n
    environment = ENVIRONMENT | {"TERM": "xterm"}
    done = subprocess.run(
        [*COMMAND, "predict", *many, "--json"], stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert (b"photos" in shown) == bar
    assert len(lines(done)) == photos_n


# ---- doctor and demo


def test_the_doctor_finds_this_installation_in_order(happysad: Run) -> None:
    done = happysad("doctor", "--json")
    state = json.loads(done.stdout)
    assert (done.returncode, state["ok"]) == (0, True)
    assert list(state["versions"]) == ["python", "happysad", "numpy", "onnxruntime", "pillow"]
    assert state["versions"]["numpy"] == np.__version__
    assert {check["name"]: check["ok"] for check in state["checks"]} == {
        "base install": True,
        "model mood.onnx": True,
        "model face-detector.onnx": True,
        "self-test": True,
    }


def test_the_doctor_reports_a_damaged_model_and_a_wrong_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    from happysad import contract, selftest

    released = contract.released_sha256()
    monkeypatch.setattr(contract, "released_sha256", lambda: released | {"mood.onnx": "0" * 64})
    monkeypatch.setattr(selftest, "differences", lambda: ["p is wrong", "box is wrong"])
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "BROKEN  model mood.onnx: mood.onnx is damaged" in result.output
    assert "BROKEN  self-test: p is wrong; box is wrong" in result.output
    assert "ok      model face-detector.onnx: as released" in result.output
    assert "Something is broken" in result.output


def test_the_doctor_names_the_command_that_brings_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = examining.version
    monkeypatch.setattr(examining, "version", lambda part: None if part == "matplotlib" else real(part))
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert 'missing  report: pip install "happysad[report]"' in result.output
    extras = {extra["name"]: extra for extra in examining.examine()["extras"]}
    assert "matplotlib" in extras["data"]["missing"]


def test_the_doctor_knows_the_extras_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plain = {
        name: tuple(re.match(r"[\w-]+", part)[0] for part in parts)  # type: ignore[index]
        for name, parts in project["optional-dependencies"].items()
        if name not in ("dev", "all")
    }
    assert plain == examining.EXTRAS


def test_the_demo_writes_a_marked_portrait_and_says_where(happysad: Run, tmp_path: Path) -> None:
    done = happysad("demo", "-o", "grace.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[-1] == "The annotated picture is in grace.png"
    assert Image.open(tmp_path / "grace.png").size == (512, 600)


def test_the_demo_without_matplotlib_names_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.cbook", None)
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 1
    assert result.output.endswith('install it with: pip install "happysad[report]"\n')


# ---- help


def all_commands() -> list[str]:
    return main.list_commands(click.Context(main))


@pytest.mark.parametrize("name", [*all_commands(), ""])
def test_help_says_in_a_line_what_a_command_is_for_and_shows_an_example(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"] if name else ["--help"])
    assert result.exit_code == 0
    usage, purpose = result.output.split("\n\n")[:2]
    assert usage.startswith("Usage: ")
    assert len(purpose.strip().splitlines()[0]) > 20
    assert "Example:" in result.output
