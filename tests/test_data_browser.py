"""Ten suspects are reviewed with the keyboard in a real browser, and applied."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from datasets import happy_sad, zip_of

from happysad.audit import Finding
from happysad.importing import import_data
from happysad.manifest import read_manifest
from happysad.review import Review, applied, suspects_of
from happysad.reviewpage import serve

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs chromium and chromedriver"
)


def test_ten_suspects_are_reviewed_by_keyboard_and_applied(tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    manifest = tmp_path / "faces.csv"
    import_data(str(zip_of(tmp_path / "set.zip", happy_sad(6))), manifest)
    frame = read_manifest(manifest)
    paths = list(frame["path"][:10])
    found = [Finding("label_error", 0.9 - i / 100, path, "looks sad", (), "happy", "sad") for i, path in enumerate(paths)]
    server = serve(suspects_of(frame, found), {}, manifest, "ann", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = webdriver.ChromeOptions()
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--window-size=1100,800"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options)
    try:
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        wait = WebDriverWait(browser, 60)
        done = 0
        wait.until(lambda b: "0 of 10" in b.find_element(By.ID, "count").text)
        for key in "sskuxhhhnosk":  # two sad, one kept and undone, one skipped, three happy, neutral, other, sad, kept
            ActionChains(browser).send_keys(key).perform()
            done += -1 if key == "u" else 1
            wait.until(lambda b, done=done: f"{done} of 10" in b.find_element(By.ID, "count").text)
    finally:
        browser.quit()
        server.shutdown()
    after, _ = applied(frame, Review(manifest).choices())
    labels = dict(zip(after["path"], after["label"], strict=True))
    assert [labels.get(path) for path in paths] == [
        "sad",
        "sad",
        None,
        "happy",
        "happy",
        "happy",
        "neutral",
        "other",
        "sad",
        "sad",
    ]
