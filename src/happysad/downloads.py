"""Data sets from Kaggle and Hugging Face, through their own clients and with the user's own token."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from happysad.errors import DataError, HappysadError, MissingExtraError

_KAGGLE_HELP = "make one at kaggle.com/settings, and put it into ~/.kaggle/kaggle.json or KAGGLE_USERNAME and KAGGLE_KEY"


def fetch(scheme: str, handle: str) -> tuple[Path, list[str]]:
    """The folder of a downloaded data set, and notes; a second call finds it in the client's cache.

    Args:
        scheme: ``kaggle`` or ``hf``.
        handle: ``OWNER/NAME``.

    Raises:
        DataError: no token, no network, terms not accepted, no such data set.
        MissingExtraError: the client is not installed.
    """
    if handle.count("/") != 1 or not all(handle.split("/")):
        raise DataError(f"{scheme}:{handle}: expected {scheme}:OWNER/NAME")
    return _kaggle(handle) if scheme == "kaggle" else (_hugging_face(handle), [])


def _kaggle(handle: str) -> tuple[Path, list[str]]:
    notes = _token_notes()
    try:
        import kagglehub
    except ImportError:
        raise MissingExtraError("kagglehub", "to download from Kaggle", "pip install kagglehub") from None
    try:
        return Path(kagglehub.dataset_download(handle)), notes
    except HappysadError:
        raise
    except Exception as error:  # kagglehub passes on what requests and its own many classes raise
        raise DataError(_kaggle_sentence(handle, error)) from error


def _token_notes() -> list[str]:
    """Check that there is a token before anything is asked of the network; warn where others may read it."""
    if os.environ.get("KAGGLE_API_TOKEN") or (os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY")):
        return []
    folder = Path(os.environ.get("KAGGLE_CONFIG_DIR") or Path("~/.kaggle").expanduser())
    token = next((folder / name for name in ("kaggle.json", "access_token") if (folder / name).is_file()), None)
    if token is None:
        raise DataError(f"Kaggle wants a token, and none was found: {_KAGGLE_HELP}")
    if os.name == "posix" and stat.S_IMODE(token.stat().st_mode) & 0o077:
        return [f"warning: other users of this machine may read your Kaggle token; run: chmod 600 {token}"]
    return []


def _kaggle_sentence(handle: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return f"Kaggle does not accept your token: {_KAGGLE_HELP}"
    if status == 403:
        return f"Kaggle refuses {handle}: open kaggle.com/datasets/{handle}, accept its terms, and try again"
    if status == 404:
        return f"Kaggle has no data set {handle}, or it is private: check the name"
    if any("Connection" in kind.__name__ or "Timeout" in kind.__name__ for kind in type(error).__mro__):
        return "Kaggle cannot be reached: check the network, or download the data set by hand and import the zip"
    return f"Kaggle could not give {handle} ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'})"


def _hugging_face(handle: str) -> Path:
    """The repository's files as they are: folders of photos, zips and tables; photos inside Parquet files are not unpacked."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtraError("huggingface_hub", "to download from Hugging Face", "pip install huggingface_hub") from None
    try:
        return Path(snapshot_download(handle, repo_type="dataset"))
    except Exception as error:  # as above
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise DataError(f"Hugging Face could not give {handle} ({reason}); log in with: huggingface-cli login") from error
