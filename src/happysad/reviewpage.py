"""The local web page for `happysad.review`: Python's own server, one page, keys for everything, for this machine only."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

from PIL import Image, ImageDraw

from happysad.errors import DataError, HappysadError, ImageError
from happysad.manifest import read_photo
from happysad.review import Review, Suspect, _safe, agreement

HOST = "127.0.0.1"
SHOWN_SIDE = 560
MAX_BODY = 10_000


def serve(
    suspects: list[Suspect], boxes: dict[str, tuple[float, ...]], manifest: Path, reviewer: str, port: int
) -> ThreadingHTTPServer:
    """A server that is ready to ``serve_forever``; port 0 takes a free one.

    Args:
        boxes: the face of each photo that has one, x0, y0, x1, y1, by path.

    Raises:
        DataError: the port is taken.
    """
    desk = _Desk(suspects, boxes, manifest, reviewer)

    class Handler(_Handler):
        pass

    Handler.desk = desk
    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise DataError(f"port {port} cannot be used ({error.strerror}); give another one with --port") from error


class _Desk:
    """What the page asks for."""

    def __init__(self, suspects: list[Suspect], boxes: dict[str, tuple[float, ...]], manifest: Path, reviewer: str) -> None:
        self.suspects, self.boxes, self.reviewer = suspects, boxes, reviewer
        self.base = manifest.resolve().parent
        self.review = Review(manifest)
        self.token = secrets.token_urlsafe(16)  # so that no other web page in the same browser can decide

    def state(self) -> dict[str, Any]:
        """The first suspect without a decision of this reviewer, how far the work is, and who agrees with whom."""
        choices = self.review.choices()
        mine = choices.get(self.reviewer, {})
        open_ones = [i for i, suspect in enumerate(self.suspects) if _safe(suspect.path) not in mine]
        return {
            "reviewer": self.reviewer,
            "total": len(self.suspects),
            "done": len(self.suspects) - len(open_ones),
            "agreement": [
                {"who": f"{a} and {b}", "n": n, "kappa": None if k != k else round(k, 2)} for a, b, n, k in agreement(choices)
            ],
            "suspect": self._shown(open_ones[0]) if open_ones else None,
        }

    def _shown(self, i: int) -> dict[str, Any]:
        suspect = self.suspects[i]
        findings = [
            {key: value for key, value in asdict(one).items() if key in ("kind", "message", "suggested")}
            for one in suspect.findings
        ]
        return {"number": i, "path": _safe(suspect.path), "label": suspect.label, "findings": findings}

    def decide(self, number: int, choice: str) -> None:
        suspect = self.suspects[number]
        self.review.decide(suspect.path, suspect.sha256, choice, self.reviewer)

    def undo(self) -> None:
        """Take back the last decision that stands."""
        path = self.review.last_path(self.reviewer)
        if path is not None:
            self.review.decide(path, "", "undo", self.reviewer)

    def picture(self, number: int) -> bytes:
        """The photo as JPEG, its face in a frame."""
        suspect = self.suspects[number]
        photo = read_photo(suspect.path, self.base, SHOWN_SIDE)
        image = Image.fromarray(photo.pixels)
        grow = max(1, SHOWN_SIDE // (2 * max(image.size)))
        image = image.resize((image.width * grow, image.height * grow))
        if suspect.path in self.boxes:
            across, down = photo.scale
            x0, y0, x1, y1 = self.boxes[suspect.path]
            frame = (x0 / across * grow, y0 / down * grow, x1 / across * grow, y1 / down * grow)
            ImageDraw.Draw(image).rectangle(frame, outline=(255, 200, 0), width=3)
        with BytesIO() as file:
            image.save(file, "JPEG", quality=88)
            return file.getvalue()


class _Handler(BaseHTTPRequestHandler):
    desk: _Desk

    def do_GET(self) -> None:
        url = urlparse(self.path)
        if url.path == "/":
            page = resources.files("happysad").joinpath("templates", "review.html").read_text("utf-8")
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", page.replace("{{ token }}", self.desk.token).encode())
        elif url.path == "/state":
            self._json(self.desk.state)
        elif url.path == "/picture":
            self._picture(parse_qs(url.query).get("number", [""])[0])
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"no such page")

    def do_POST(self) -> None:
        """Decide or take back; only with the token that the page was given."""
        if self.headers.get("X-Token") != self.desk.token or self.path not in ("/decide", "/undo"):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"not from the page")
            return
        try:
            body = json.loads(self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MAX_BODY)) or b"{}")
            if self.path == "/decide":
                self.desk.decide(int(body["number"]), str(body["choice"]))
            else:
                self.desk.undo()
        except (ValueError, KeyError, TypeError, IndexError):
            self._answer(HTTPStatus.BAD_REQUEST, "text/plain", b"expected {number, choice}")
        except HappysadError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", str(error).encode())
        else:
            self._json(self.desk.state)

    def _picture(self, number: str) -> None:
        if not (number.isascii() and number.isdigit() and int(number) < len(self.desk.suspects)):
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"no such photo")
            return
        try:
            self._answer(HTTPStatus.OK, "image/jpeg", self.desk.picture(int(number)))
        except ImageError as error:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", str(error).encode())

    def _json(self, make: Any) -> None:
        try:
            self._answer(HTTPStatus.OK, "application/json", json.dumps(make()).encode())
        except HappysadError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", str(error).encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: names of photos do not belong into a log."""
