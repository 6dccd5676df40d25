"""Which subjects are for training, validation and test; copies of an image move together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from medssl.errors import DataError

FROM_TRAINING = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How subjects are chosen, in their order of appearance.

    Args:
        rule: At evenly spaced positions, or at random.
        test: How many are for test, or which share.
        val: How many are for validation, or which share.
        seed: Of the random choice.
    """

    rule: Literal["evenly_spaced", "shuffled"]
    test: int | float
    val: int | float
    seed: int


def connected(subjects: Sequence[str], digests: Sequence[str]) -> list[int]:
    """Number the groups of cases that share a subject or a copy, in order of appearance.

    Returns:
        The number of each case's group.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def find(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for subject, digest in zip(subjects, digests, strict=True):
        parent[find(("digest", digest))] = find(("subject", subject))
    numbers: dict[tuple[str, str], int] = {}
    roots = [find(("subject", subject)) for subject in subjects]
    return [numbers.setdefault(root, len(numbers)) for root in roots]


def assign(
    groups: Sequence[int], labeled: Sequence[bool], rule: Rule, own: Sequence[str] = ()
) -> list[str]:
    """Return the split of each case.

    Where any case has a label, only groups with one are chosen from; the others are for
    training. A group of which the archive says itself what it is for stays there; where it says
    several things of copies or of one subject, the one that is furthest from training counts.

    Args:
        groups: Number of each case's group.
        labeled: Whether each case has a label.
        rule: How to choose.
        own: What the archive says that each case is for; empty where it does not.

    Raises:
        DataError: If there are fewer groups than are asked for.
    """
    settled = _settled(groups, own or [""] * len(groups))
    with_label = {g for g, has in zip(groups, labeled, strict=True) if has} - settled.keys()
    free = with_label or set(groups) - settled.keys()
    candidates = np.array(sorted(free), np.int64)
    if settled and not free and (rule.test or rule.val):
        msg = "split: the archive says itself which cases are for what; leave test and val out"
        raise DataError(msg)
    num_test, num_val = (_count(size, len(candidates)) for size in (rule.test, rule.val))
    if num_test + num_val > len(candidates):
        msg = (
            f"split.test and split.val ask for {num_test} and {num_val} subjects, there are "
            f"{len(candidates)} to choose from{' with a label' if with_label else ''}"
        )
        raise DataError(msg)
    generator = np.random.default_rng(rule.seed)
    test = candidates[_chosen(len(candidates), num_test, rule, generator)]
    rest = np.setdiff1d(candidates, test)
    val = rest[_chosen(len(rest), num_val, rule, generator)]
    split = dict.fromkeys(test.tolist(), "test") | dict.fromkeys(val.tolist(), "val")
    return [(split | settled).get(group, "train") for group in groups]


def _settled(groups: Sequence[int], own: Sequence[str]) -> dict[int, str]:
    """Return the split of each group of which the archive says one."""
    found: dict[int, str] = {}
    for group, split in zip(groups, own, strict=True):
        if split:
            found[group] = max(found.get(group, split), split, key=FROM_TRAINING.index)
    return found


def _chosen(
    number: int, size: int, rule: Rule, generator: np.random.Generator
) -> Int[np.ndarray, "chosen"]:
    if rule.rule == "evenly_spaced":
        return np.linspace(0, max(number - 1, 0), size).round().astype(np.int64)
    return generator.permutation(number)[:size]


def _count(size: int | float, number: int) -> int:
    """Return a number of groups; a share that is not zero is at least one of them."""
    if isinstance(size, int):
        return size
    return max(1, round(size * number)) if size > 0 and number > 0 else 0
