"""Divide a data set so that the score means something: no person and no photo on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from happysad.duplicates import groups
from happysad.errors import DataError
from happysad.manifest import SPLITS, listed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Leak:
    """Rows that belong together and are in more than one split.

    Attributes:
        kind: ``subject`` or ``duplicate``.
        rows: their numbers, from 0.
        splits: the splits they are in.
        name: the subject's name; empty for duplicates.
    """

    kind: str
    rows: np.ndarray
    splits: tuple[str, ...]
    name: str = ""


def kept_together(frame: pd.DataFrame, pairs: np.ndarray) -> np.ndarray:
    """Int (n,): the group of each row. Rows of one subject are one group, as are rows that a pair connects.

    Args:
        pairs: int (m, 2), rows that are the same photo.
    """
    return groups(len(frame), np.concatenate([_chains(frame["subject"]), np.asarray(pairs, np.int64).reshape(-1, 2)]))


def _chains(values: pd.Series) -> np.ndarray:
    """Pairs (m, 2) that connect each row to the next of the same value; empty values connect nothing."""
    rows = np.flatnonzero((values != "").to_numpy(bool))
    order = rows[np.argsort(values.to_numpy(object)[rows].astype(str), kind="stable")]
    same = values.to_numpy(object)[order[1:]] == values.to_numpy(object)[order[:-1]]
    return np.asarray(np.stack([order[:-1], order[1:]], axis=1)[same], np.int64)


def split_of(frame: pd.DataFrame, pairs: np.ndarray, shares: Sequence[float], seed: int = 0) -> np.ndarray:
    """Int (n,): the part of each row, −1 where a row cannot be used (no label, or the photo cannot be read).

    Whole groups (`kept_together`) are dealt, large ones first, each to the part that then lies nearest to its share of every
    label. The same seed gives the same parts.

    Args:
        shares: of each part; positive, they are scaled to sum 1.

    Raises:
        DataError: it cannot be done honestly; the sentence says why.
    """
    wanted = np.asarray(shares, float)
    if len(wanted) < 2 or not (wanted > 0).all() or not np.isfinite(wanted).all():
        raise DataError(f"a split needs two parts or more, each with a share above 0; got {listed(shares)}")
    usable = ((frame["label"] != "") & (frame["error"] == "")).to_numpy(bool)
    group = kept_together(frame, pairs)
    labels = frame["label"].to_numpy(object).astype(str)
    _refuse(labels[usable], group[usable], frame["subject"].to_numpy(object)[usable], len(wanted))
    part = np.full(len(frame), -1)
    part[usable] = _dealt(labels[usable], group[usable], wanted / wanted.sum(), np.random.default_rng(seed))
    return part


def _refuse(labels: np.ndarray, group: np.ndarray, subjects: np.ndarray, parts: int) -> None:
    names = sorted(set(labels))
    if len(names) < 2:
        what = f"only the class {names[0]}" if names else "no row with a label and a photo that can be read"
        raise DataError(f"this data set has {what}: there is nothing to tell apart; import at least two classes")
    if len(set(subjects) - {""}) == 1 and (subjects != "").all():
        raise DataError(
            f"all rows show one person, {subjects[0]}: a score on the same person says nothing about others; add people"
        )
    for name in names:
        count = len(np.unique(group[labels == name]))
        if count < parts:
            who = "people or unrelated photos"
            raise DataError(
                f"the class {name} has {count} {who}, and {parts} parts need at least {parts}; add some, or make fewer parts"
            )


def _dealt(labels: np.ndarray, group: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    names, label = np.unique(labels, return_inverse=True)
    _, group = np.unique(group, return_inverse=True)
    counts = np.zeros((group.max() + 1, len(names)))  # of each label in each group
    np.add.at(counts, (group, label), 1)
    target = shares[:, None] * counts.sum(axis=0)
    have = np.zeros_like(target)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    part = np.empty(len(counts), int)
    for one in order:
        part[one] = np.argmin(_cost(have, counts[one], target))
        have[part[one]] += counts[one]
    _fill(part, counts, have)
    return np.asarray(part[group])


def _cost(have: np.ndarray, new: np.ndarray, target: np.ndarray) -> np.ndarray:
    """How much worse each part's squared, relative distance from its target gets with the new group: (parts,)."""
    return np.asarray((((have + new - target) ** 2 - (have - target) ** 2) / target).sum(axis=1))


def _fill(part: np.ndarray, counts: np.ndarray, have: np.ndarray) -> None:
    """Give every part some of every class: where one has none, the smallest group that another can spare moves over."""
    for label, to in np.argwhere(have.T == 0):
        spare = [one for one in np.flatnonzero(counts[:, label]) if _can_spare(have[part[one]], counts[one])]
        if not spare:
            raise DataError(
                "the classes cannot be dealt so that every part has some of each: large groups of rows belong together"
            )
        one = min(spare, key=lambda one: counts[one].sum())
        have[part[one]] -= counts[one]
        part[one] = to
        have[to] += counts[one]


def _can_spare(have: np.ndarray, group: np.ndarray) -> bool:
    return bool((have - group)[group > 0].min() > 0)


def names_of(parts: int) -> tuple[str, ...]:
    """What the parts of a split into train and test, or train, valid and test, are called."""
    return SPLITS if parts == 3 else ("train", "test")


def leaks(frame: pd.DataFrame, pairs: np.ndarray) -> list[Leak]:
    """Subjects, and groups of duplicates, that lie in more than one split; rows without a split leak nothing."""
    split = frame["split"].to_numpy(object)
    found = []
    subject = frame["subject"].to_numpy(object)
    for kind, together in (
        ("subject", groups(len(frame), _chains(frame["subject"]))),
        ("duplicate", groups(len(frame), np.asarray(pairs, np.int64).reshape(-1, 2))),
    ):
        for rows in _members(together, split != ""):
            splits = tuple(sorted(set(split[rows])))
            if len(splits) > 1:
                found.append(Leak(kind, rows, splits, subject[rows[0]] if kind == "subject" else ""))
    return found


def _members(group: np.ndarray, wanted: np.ndarray) -> list[np.ndarray]:
    """The wanted rows of each group with two or more of them."""
    rows = np.flatnonzero(wanted)
    rows = rows[np.argsort(group[rows], kind="stable")]
    cuts = np.flatnonzero(np.diff(group[rows])) + 1
    return [part for part in np.split(rows, cuts) if len(part) > 1]
