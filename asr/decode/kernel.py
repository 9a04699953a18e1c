"""The compiled prefix beam search.

Prefixes are nodes of a trie; the beam holds some of them with two log-probabilities over their
alignments so far: of those that end in a blank and of those that end in the last token. External
scores are included in both: they belong to the prefix, so that they multiply both alike. Shapes: T
frames, C tokens with the blank.

Each frame is taken in five steps:

    prune_tokens       which tokens of the frame are tried at all
    keep_prefixes      the prefixes of the beam, after a blank or their last token once more
    extend_prefixes    each of them with every token tried, where the result has a chance
    recombine          of prefixes that no continuation can tell apart, the best
    prune_beam         the best candidates are the next beam
"""

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.compiled import compiled, helper, inlined
from asr.decode.external_scores import (
    NODE,
    ExternalScores,
    Nodes,
    enter_start_states,
    final_score,
    in_word,
    init_root,
    score_prefixes,
)
from asr.decode.trie import Index, Ints, Trie, add_child, new_index, new_ints, new_nodes, reclaimed
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
"""A prefix in the beam, or a candidate for the next beam; node -1: it has no node yet."""

Floats = NDArray[np.float64]
Emissions = Annotated[Floats, 2]
Prefixes = Annotated[NDArray[Any], PREFIX]


@helper
def new_prefixes(count: int) -> Prefixes:
    """So many prefixes, not set."""
    return np.empty(count, PREFIX)


@helper
def new_floats(count: int) -> Floats:
    """So many float64, not set."""
    return np.empty(count)


@inlined
def log_add(a: float, b: float) -> float:
    """log(exp a + exp b)."""
    high, low = (b, a) if a < b else (a, b)
    # Beyond 40 the sum is `high` in float64. The difference of two -inf is NaN: false as well.
    if low - high > -40.0:
        return high + math.log1p(math.exp(low - high))
    return high


@helper
def prune_tokens(
    log_probs: Emissions,
    time: int,
    threshold: float,
    max_tokens: int,
    frame: Floats,
    tokens: Ints,
    previous_count: int,
    scratch: Floats,
) -> int:
    """Choose the tokens to try in a frame: their scores into `frame`, -inf there for all others.

    `tokens` receives them, rising; returns how many there are. The likeliest token is always
    among them. `previous_count` is how many the frame before had; `scratch` is (C,).
    """
    # Only what the frame before has set is reset: with large vocabularies few tokens are tried.
    for i in range(previous_count):
        frame[tokens[i]] = -np.inf
    count, best = 0, 0
    for token in range(len(frame)):
        score = log_probs[time, token]
        if score > log_probs[time, best]:
            best = token
        if score >= threshold and score > -np.inf:
            tokens[count] = token
            count += 1
    if count == 0:
        tokens[0] = best
        count = 1
    if count > max_tokens:
        for i in range(count):
            scratch[i] = log_probs[time, tokens[i]]
        edge = nth_largest(scratch, count, max_tokens)
        room_at_edge = max_tokens  # equals at the edge: the lower tokens are taken
        for i in range(count):
            if log_probs[time, tokens[i]] > edge:
                room_at_edge -= 1
        chosen = 0
        for i in range(count):
            score = log_probs[time, tokens[i]]
            if score == edge and room_at_edge > 0:
                room_at_edge -= 1
            elif score <= edge:
                continue
            tokens[chosen] = tokens[i]
            chosen += 1
        count = chosen
    for i in range(count):
        frame[tokens[i]] = log_probs[time, tokens[i]]
    return count


@helper
def keep_prefixes(
    beam: Prefixes, width: int, nodes: Nodes, frame: Floats, candidates: Prefixes
) -> None:
    """The prefixes of the beam after one more frame, as the first candidates.

    Where the parent of a prefix is in the beam too, the parent's extension by the last token spells
    the same prefix: its probability is added here, so that `extend_prefixes` leaves it out.
    """
    for slot in range(width):
        prefix, candidate = beam[slot], candidates[slot]
        log_last = frame[prefix.last]  # for the root the blank: its log_token is -inf
        log_token = -np.inf
        if log_last > -np.inf:
            log_token = prefix.log_token + log_last
            if prefix.parent >= 0 and nodes[prefix.parent].beam_slot >= 0:
                parent = beam[nodes[prefix.parent].beam_slot]
                # A repeated token begins a new one only after a blank.
                source = parent.log_blank if parent.last == prefix.last else parent.log_total
                log_token = log_add(log_token, source + log_last + nodes[prefix.node].gain)
        log_blank = prefix.log_total + frame[BLANK]
        candidate.node, candidate.last, candidate.parent = prefix.node, prefix.last, prefix.parent
        candidate.log_blank, candidate.log_token = log_blank, log_token
        candidate.log_total = log_add(log_blank, log_token)


@helper
def extend_prefixes(
    beam: Prefixes,
    width: int,
    trie: Trie,
    used: int,
    frame: Floats,
    tokens: Ints,
    num_tokens: int,
    floor: float,
    candidates: Prefixes,
    guided: bool,
    space: int,
    largest_bonus: float,
    largest_boost: float,
) -> tuple[int, int]:
    """Extend every prefix by every token tried, as candidates behind those that are kept.

    Leaves out what has no chance to rise above the floor. Returns how many candidates and how
    many nodes there are then. New nodes are left to be scored, all of a frame at once. `guided`:
    there are external scores, whose bonus for a word and for a token of a hot word are at most
    `largest_bonus` and `largest_boost`.
    """
    nodes, keys, children = trie.nodes, trie.keys, trie.child
    found = width
    for slot in range(width):
        prefix = beam[slot]
        # An upper bound of a token's gain, so that hopeless candidates need no node and no score:
        # the estimate of a new word may hold the bonus, and a space gives the estimate back.
        max_gain = max_gain_of_space = 0.0
        if guided:
            max_gain = max_gain_of_space = largest_boost
            if not in_word(prefix.last, space):
                max_gain += largest_bonus
            max_gain_of_space += largest_bonus - nodes[prefix.node].estimate
        for i in range(num_tokens):
            token = tokens[i]
            source = prefix.log_blank if token == prefix.last else prefix.log_total
            score = source + frame[token]
            gain = max_gain_of_space if token == space else max_gain
            if token == BLANK or not score + gain > floor:
                continue
            place = find_slot(keys, prefix.node, token)
            child = children[place] if keys[place] != EMPTY else -1
            if child >= 0 and nodes[child].beam_slot >= 0:  # keep_prefixes has added this
                continue
            # Without external scores a candidate needs no node before it is in the beam.
            if child < 0 and guided:
                child = used
                add_child(trie, child, prefix.node, token)
                used += 1
            candidate = candidates[found]
            candidate.node, candidate.last, candidate.parent = child, token, prefix.node
            candidate.log_blank = -np.inf
            candidate.log_token = candidate.log_total = score
            found += 1
    return found, used


@helper
def recombine(
    candidates: Prefixes, found: int, lowest: float, nodes: Nodes, keys: Ints, holder: Index
) -> None:
    """Of the candidates with the same states keep the best; the others become impossible.

    `keys` and `holder` are room for a hash table, of four times as many slots as candidates.
    """
    mask = 1
    while mask < 2 * found:
        mask = 2 * mask + 1
    for slot in range(mask + 1):
        keys[slot] = EMPTY
    for i in range(found):
        candidate = candidates[i]
        if not candidate.log_total > lowest:
            continue
        state_hash = nodes[candidate.node].state_hash
        slot = state_hash & mask
        while keys[slot] != EMPTY and keys[slot] != state_hash:
            slot = (slot + 1) & mask
        if keys[slot] == EMPTY:
            keys[slot], holder[slot] = state_hash, i
        elif candidates[holder[slot]].log_total >= candidate.log_total:
            candidate.log_total = -np.inf
        else:
            candidates[holder[slot]].log_total = -np.inf
            holder[slot] = i


@helper
def prune_beam(
    candidates: Prefixes,
    found: int,
    beam_size: int,
    lowest: float,
    scratch: Floats,
    trie: Trie,
    used: int,
    beam: Prefixes,
) -> tuple[int, int]:
    """Fill the beam with the best candidates above `lowest`, their order kept.

    Of equals at the beam's edge the first are taken. Returns how many prefixes are in the beam
    and how many nodes there are then.
    """
    # Selection in linear time: a beam need not be sorted.
    edge, room_at_edge = -np.inf, 0
    if found > beam_size:
        for i in range(found):
            scratch[i] = candidates[i].log_total
        edge = nth_largest(scratch, found, beam_size)
        room_at_edge = beam_size
        for i in range(found):
            if candidates[i].log_total > edge:
                room_at_edge -= 1
    width = 0
    for i in range(found):
        candidate = candidates[i]
        if not candidate.log_total > lowest or candidate.log_total < edge:
            continue
        if candidate.log_total == edge:
            if room_at_edge == 0:
                continue
            room_at_edge -= 1
        if candidate.node < 0:
            add_child(trie, used, candidate.parent, candidate.last)
            candidate.node = used
            used += 1
        trie.nodes[candidate.node].beam_slot = width
        beam[width] = candidate
        width += 1
    return width, used


@helper
def nth_largest(values: Floats, count: int, n: int) -> float:
    """The n-th largest (n from 1) of the first `count` values, which it reorders.

    Source: Hoare, "Algorithm 65: find", CACM 4 (7), 1961; pivots are medians of three, so that
    values that are sorted already take no longer.
    """
    low, high, wanted = 0, count - 1, n - 1
    while low < high:
        a, b, c = values[low], values[(low + high) >> 1], values[high]
        if a > b:
            a, b = b, a
        pivot = a if c < a else (b if c > b else c)
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
    nth: float = values[wanted]
    return nth


class SearchState(NamedTuple):
    """What a search keeps from one frame to the next."""

    trie: Trie
    used: int
    """Nodes of the trie that are taken; 0 before the first frame."""
    beam: Prefixes
    width: int
    """Prefixes in the beam."""


BEFORE_THE_FIRST_FRAME = SearchState(
    Trie(np.empty(0, NODE), np.empty(0, np.int64), np.empty(0, np.int32)),
    used=0,
    beam=np.empty(0, PREFIX),
    width=0,
)


@helper
def renumber(beam: Prefixes, nodes: Nodes, used: int) -> None:
    """Tell the prefixes in the beam the new numbers of their nodes."""
    # In the kernel itself this loop, which seldom runs, would make each frame a fifth slower.
    for node in range(used):
        slot = nodes[node].beam_slot
        if slot >= 0:
            beam[slot].node, beam[slot].parent = node, nodes[node].parent


@compiled
def search_kernel(
    log_probs: Emissions,
    token_log_threshold: float,
    tokens_per_frame: int,
    beam_size: int,
    beam_log_threshold: float,
    recombining: bool,
    state: SearchState,
    external: ExternalScores | None,
) -> tuple[SearchState, Floats, Floats]:
    """Search the next emissions `(T, C)`. (Without external scores: `search_kernel_alone`.)

    Returns the state behind them, in arrays that may be those of the given one, and of the prefixes
    in the beam the acoustic scores and the language scores as finished hypotheses (-inf: it cannot
    be one). In how many parts emissions are searched does not matter.
    """
    frames, num_all = log_probs.shape
    trie, used, beam, width = state.trie, state.used, state.beam, state.width
    guided, space, largest_bonus, largest_boost = False, -1, 0.0, 0.0
    if external is not None:
        guided, space, largest_boost = True, external.space, external.hotwords.largest_gain
        if external.word_bonus > 0.0:
            largest_bonus = external.word_bonus
    # All arrays grow with what the utterance needs: most searches stay far below the beam's size.
    if used == 0:
        trie, used = Trie(new_nodes(1), new_ints(1), new_index(1)), 1
        init_root(trie.nodes)
        if external is not None:
            enter_start_states(trie.nodes, external)
        beam, width = new_prefixes(1), 1
        root = beam[0]
        root.node, root.last, root.parent = 0, BLANK, -1
        root.log_blank, root.log_token, root.log_total = 0.0, -np.inf, 0.0
    candidates, scratch = new_prefixes(1), new_floats(num_all)
    keys, holder = new_ints(1), new_index(1)  # of `recombine`
    frame, tokens, count = new_floats(num_all), new_ints(num_all), 0
    for token in range(num_all):
        frame[token] = -np.inf

    for time in range(frames):
        count = prune_tokens(
            log_probs, time, token_log_threshold, tokens_per_frame, frame, tokens, count, scratch
        )
        # Most frames of a CTC model are blanks: there all prefixes stay as they are.
        if count == 1 and tokens[0] == BLANK:
            for slot in range(width):
                prefix = beam[slot]
                prefix.log_total += frame[BLANK]
                prefix.log_blank, prefix.log_token = prefix.log_total, -np.inf
            continue
        most = width * (count + 1)
        if used + most > len(trie.nodes):
            trie, used = reclaimed(trie.nodes, used, most)
            renumber(beam, trie.nodes, used)
        if len(candidates) < most:
            candidates, scratch = new_prefixes(2 * most), new_floats(2 * most + num_all)
            keys, holder = new_ints(8 * most), new_index(8 * most)
        keep_prefixes(beam, width, trie.nodes, frame, candidates)
        best, worst = -np.inf, np.inf
        for slot in range(width):
            score = candidates[slot].log_total
            best = score if score > best else best
            worst = score if score < worst else worst
        # Neither the threshold nor, with a full beam, the worst prefix kept can be undercut.
        floor = best - beam_log_threshold
        if width == beam_size and worst > floor:
            floor = worst
        first_new = used
        found, used = extend_prefixes(
            *(beam, width, trie, used, frame, tokens, count, floor, candidates),
            *(guided, space, largest_bonus, largest_boost),
        )
        if external is not None:
            score_prefixes(trie.nodes, first_new, used, external)
            for i in range(width, found):
                candidate = candidates[i]
                candidate.log_token += trie.nodes[candidate.node].gain
                candidate.log_total = candidate.log_token
        for i in range(width, found):
            if candidates[i].log_total > best:
                best = candidates[i].log_total
        lowest = best - beam_log_threshold
        if external is not None:  # noqa: SIM102  (as one condition it would not be left out)
            if recombining:
                recombine(candidates, found, lowest, trie.nodes, keys, holder)
        for slot in range(width):
            trie.nodes[beam[slot].node].beam_slot = -1
        if len(beam) < found and len(beam) < beam_size:
            beam = new_prefixes(2 * found if 2 * found < beam_size else beam_size)
        width, used = prune_beam(candidates, found, beam_size, lowest, scratch, trie, used, beam)

    acoustic, language = new_floats(width), new_floats(width)
    for slot in range(width):
        acoustic[slot], language[slot] = beam[slot].log_total, 0.0
        if external is not None:
            node = trie.nodes[beam[slot].node]
            acoustic[slot] -= node.score + node.estimate
            language[slot] = final_score(trie.nodes, beam[slot].node, external)
    return SearchState(trie, used, beam, width), acoustic, language


search_kernel_alone = search_kernel.without("external", "search_kernel_alone")
"""Compiled in half the time."""
