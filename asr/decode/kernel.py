"""The compiled prefix beam search.

Every prefix ever considered is a node of a trie; the beam holds some of them with two
log-probabilities over their alignments so far: of those that end in a blank and of those that end
in the last token, external scores included (they belong to the prefix, so that they multiply both
alike). Shapes: T frames, C tokens with the blank.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled
from asr.decode.knowledge import Knowledge, Nodes, extend, finish, in_word, plant
from asr.decode.trie import Index, Ints, Trie, add_child, grown, new_trie
from asr.language.hashing import EMPTY, find_slot
from asr.text.tokens import BLANK

PREFIX = np.dtype(
    [
        ("node", np.int32),
        ("last", np.int32),  # its last token
        ("parent", np.int32),  # the node of the prefix without it
        ("log_blank", np.float64),
        ("log_token", np.float64),
        ("log_total", np.float64),
    ],
    align=True,
)
"""A prefix in the beam, or one that would be in the next; node -1: not looked up, or new."""

Floats = NDArray[np.float64]
Records = NDArray[Any]


@compiled
def log_add(a: float, b: float) -> float:
    """log(exp a + exp b)."""
    if a < b:
        a, b = b, a
    if b - a > -40.0:  # beyond that the sum is a in float64; false for NaN, -inf less -inf
        return a + math.log1p(math.exp(b - a))
    return a


@compiled
def hear(
    log_probs: Floats, time: int, cut: float, most: int, frame: Floats, tried: Ints, before: int
) -> int:
    """Put the scores of the tokens to be tried into `frame`, -inf for all others.

    `tried` gets those tokens, rising; returns how many there are. The likeliest token is always
    one; `before` is how many the frame before had.
    """
    for i in range(before):
        frame[tried[i]] = -np.inf
    count, best = 0, 0
    for token in range(len(frame)):
        score = log_probs[time, token]
        if score > log_probs[time, best]:
            best = token
        if score >= cut and score > -np.inf:
            tried[count] = token
            count += 1
    if count == 0:
        tried[0] = best
        count = 1
    if count > most:
        likeliest = np.argsort(-log_probs[time][tried[:count]], kind="mergesort")[:most]
        likeliest.sort()
        for i in range(most):
            tried[i] = tried[likeliest[i]]
        count = most
    for i in range(count):
        frame[tried[i]] = log_probs[time, tried[i]]
    return count


@compiled
def stay(beam: Records, width: int, nodes: Nodes, frame: Floats, successors: Records) -> None:
    """The prefixes of the beam after one more frame, as the first successors.

    An extension of its parent that spells a prefix of the beam merges with it here.
    """
    for slot in range(width):
        prefix, heir = beam[slot], successors[slot]
        heard = frame[prefix.last]
        log_token = -np.inf
        if heard > -np.inf:
            log_token = prefix.log_token + heard
            if prefix.parent >= 0 and nodes[prefix.parent].slot >= 0:
                parent = beam[nodes[prefix.parent].slot]
                source = parent.log_blank if parent.last == prefix.last else parent.log_total
                log_token = log_add(log_token, source + heard + nodes[prefix.node].gain)
        heir.node, heir.last, heir.parent = prefix.node, prefix.last, prefix.parent
        heir.log_blank, heir.log_token = prefix.log_total + frame[BLANK], log_token
        heir.log_total = log_add(heir.log_blank, log_token)


@compiled
def grow(
    beam: Records,
    width: int,
    trie: Trie,
    used: int,
    frame: Floats,
    tried: Ints,
    floor: float,
    successors: Records,
    known: Knowledge,
) -> tuple[int, int]:
    """Extend every prefix by every tried token, as successors behind those that stay.

    Leaves out what has no chance to rise above the floor. Returns how many successors and how
    many nodes there are then.
    """
    nodes, keys, children = trie.nodes, trie.keys, trie.child
    guided, space, bonus = known.any, known.space, max(known.word_bonus, 0.0)
    found = width
    for slot in range(width):
        prefix = beam[slot]
        # No token gains more than `reach`: the estimate of a new word may hold the bonus, and a
        # space gives the estimate back.
        reach = reach_of_space = 0.0
        if guided:
            reach = reach_of_space = known.hotwords.largest_gain
            reach += 0.0 if in_word(prefix.last, space) else bonus
            reach_of_space += bonus - nodes[prefix.node].estimate
        for token in tried:
            source = prefix.log_blank if token == prefix.last else prefix.log_total
            score = source + frame[token]
            if token == BLANK or not score + (reach_of_space if token == space else reach) > floor:
                continue
            place = find_slot(keys, prefix.node, token)
            child = children[place] if keys[place] != EMPTY else -1
            if child >= 0 and nodes[child].slot >= 0:  # it merged when it stayed
                continue
            if child < 0 and guided:
                child = used
                add_child(trie, child, prefix.node, token)
                used += 1
            heir = successors[found]
            heir.node, heir.last, heir.parent = child, token, prefix.node
            heir.log_blank, heir.log_token, heir.log_total = -np.inf, score, score
            found += 1
    return found, used


@compiled
def recombine(
    successors: Records, found: int, lowest: float, nodes: Nodes, keys: Ints, holder: Index
) -> None:
    """Of the successors with one future leave the best; the others become impossible.

    `keys` and `holder` are room for a hash table, of four times as many slots as successors.
    """
    mask = 1
    while mask < 2 * found:
        mask = 2 * mask + 1
    keys[: mask + 1] = EMPTY
    for i in range(found):
        heir = successors[i]
        if not heir.log_total > lowest:
            continue
        future = nodes[heir.node].future
        slot = future & mask
        while keys[slot] != EMPTY and keys[slot] != future:
            slot = (slot + 1) & mask
        if keys[slot] == EMPTY:
            keys[slot], holder[slot] = future, i
        elif successors[holder[slot]].log_total >= heir.log_total:
            heir.log_total = -np.inf
        else:
            successors[holder[slot]].log_total = -np.inf
            holder[slot] = i


@compiled
def select(
    successors: Records,
    found: int,
    beam_size: int,
    lowest: float,
    scratch: Floats,
    trie: Trie,
    used: int,
    beam: Records,
) -> tuple[int, int]:
    """Fill the beam with the best successors above `lowest`, their order kept.

    Of equals at the beam's edge those go first that were there first. Returns how many prefixes
    are in the beam and how many nodes there are then.
    """
    edge, room_at_edge = -np.inf, 0
    if found > beam_size:
        for i in range(found):
            scratch[i] = successors[i].log_total
        edge = nth_largest(scratch, found, beam_size)
        room_at_edge = beam_size
        for i in range(found):
            room_at_edge -= successors[i].log_total > edge
    width = 0
    for i in range(found):
        heir = successors[i]
        if not heir.log_total > lowest or heir.log_total < edge:
            continue
        if heir.log_total == edge:
            if room_at_edge == 0:
                continue
            room_at_edge -= 1
        if heir.node < 0:
            add_child(trie, used, heir.parent, heir.last)
            heir.node = used
            used += 1
        trie.nodes[heir.node].slot = width
        beam[width] = heir
        width += 1
    return width, used


@compiled
def nth_largest(values: Floats, count: int, n: int) -> float:
    """The n-th largest (n from 1) of the first `count` values, which it reorders.

    Source: Hoare, "Algorithm 65: find", CACM 4 (7), 1961; pivots are medians of three.
    """
    low, high, wanted = 0, count - 1, n - 1
    while low < high:
        a, b, c = values[low], values[(low + high) >> 1], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return float(values[wanted])


@compiled
def search_kernel(
    log_probs: Floats,
    cut: float,
    most_tokens: int,
    beam_size: int,
    beam_log_threshold: float,
    recombining: bool,
    known: Knowledge,
) -> tuple[Nodes, Index, Floats, Floats]:
    """Search emissions `(T, C)`.

    Returns the trie's nodes and, of the prefixes in the last beam, their nodes, their acoustic
    scores and their language scores as finished hypotheses (-inf: it cannot be one).
    """
    frames, tokens = log_probs.shape
    guided = known.any
    capacity = 256
    trie = new_trie(capacity)
    plant(trie.nodes, known)
    used = 1
    beam, successors, scratch = np.empty(1, PREFIX), np.empty(1, PREFIX), np.empty(1)
    first = beam[0]
    first.node, first.last, first.parent = 0, BLANK, -1
    first.log_blank, first.log_token, first.log_total = 0.0, -np.inf, 0.0
    keys, holder = np.empty(1, np.int64), np.empty(1, np.int32)
    width = 1
    frame, tried, count = np.full(tokens, -np.inf), np.empty(tokens, np.int64), 0

    for time in range(frames):
        count = hear(log_probs, time, cut, most_tokens, frame, tried, count)
        if count == 1 and tried[0] == BLANK:
            for slot in range(width):
                prefix = beam[slot]
                prefix.log_total += frame[BLANK]
                prefix.log_blank, prefix.log_token = prefix.log_total, -np.inf
            continue
        most = width * (count + 1)
        if used + most > capacity:
            capacity = 2 * (used + most)
            trie = grown(trie, used, capacity)
        if len(successors) < most:
            successors, scratch = np.empty(2 * most, PREFIX), np.empty(2 * most)
            keys, holder = np.empty(8 * most, np.int64), np.empty(8 * most, np.int32)
        stay(beam, width, trie.nodes, frame, successors)
        best, worst = -np.inf, np.inf
        for slot in range(width):
            best = max(best, successors[slot].log_total)
            worst = min(worst, successors[slot].log_total)
        floor = max(best - beam_log_threshold, worst if width == beam_size else -np.inf)
        new = used
        found, used = grow(beam, width, trie, used, frame, tried[:count], floor, successors, known)
        if guided:
            extend(trie.nodes, new, used, known)
        for i in range(width, found):
            heir = successors[i]
            if guided:
                heir.log_token += trie.nodes[heir.node].gain
                heir.log_total = heir.log_token
            best = max(best, heir.log_total)
        lowest = best - beam_log_threshold
        if guided and recombining:
            recombine(successors, found, lowest, trie.nodes, keys, holder)
        for slot in range(width):
            trie.nodes[beam[slot].node].slot = -1
        if len(beam) < min(found, beam_size):
            beam = np.empty(min(2 * found, beam_size), PREFIX)
        width, used = select(successors, found, beam_size, lowest, scratch, trie, used, beam)
    ends = np.empty(width, np.int32)
    acoustic, language = np.empty(width), np.zeros(width)
    for slot in range(width):
        ends[slot], acoustic[slot] = beam[slot].node, beam[slot].log_total
        if guided:
            node = trie.nodes[ends[slot]]
            acoustic[slot] -= node.score + node.estimate
            language[slot] = finish(trie.nodes, ends[slot], known)
    return trie.nodes[:used], ends, acoustic, language
