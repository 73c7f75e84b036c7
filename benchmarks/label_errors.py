"""How many of FER2013's label errors the audit's ranking finds, without seeing the votes that tell them.

    python benchmarks/label_errors.py fer.csv

with ``fer.csv`` imported from FER2013 and FER+. Train rows whose original label is happy, neutral or sad are ranked; the known
errors are those where 7 of 10 voters or more say another one of the three.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from happysad.duplicates import find_pairs
from happysad.examine import examine
from happysad.manifest import VOTES, read_manifest
from happysad.opinions import opinions

CLEAR = 0.7
THREE = ("happy", "neutral", "sad")


def main(manifest: Path) -> None:
    frame = read_manifest(manifest)
    frame = frame[(frame["split"] == "train") & frame["label"].isin(THREE)].reset_index(drop=True)
    votes = frame[list(VOTES)].fillna(0).to_numpy(float)
    share = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1)
    blind = frame.drop(columns=list(VOTES)).assign(**dict.fromkeys(VOTES, np.nan))
    pairs = find_pairs(blind, manifest.resolve().parent, examine(blind, manifest).described)
    rows, suspects = opinions(blind, manifest, pairs.rows, model_has_seen=True)
    assert suspects is not None
    clear = share[rows, :3].max(axis=1) >= CLEAR
    wrong = np.array(THREE)[share[rows, :3].argmax(axis=1)] != frame["label"].to_numpy(object)[rows]
    rows = np.flatnonzero(clear)[np.argsort(suspects.quality[clear])]
    n = int(wrong[clear].sum())
    found = int(wrong[rows[: 2 * n]].sum())
    print(f"{len(rows):,} clear rows, {n:,} known errors; {found:,} ({found / n:.3f}) of them among the first {2 * n:,} suspects")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
