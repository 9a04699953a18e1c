"""Praat's TextGrid in its long form: tiers of intervals with text."""

from collections.abc import Iterator, Mapping, Sequence

from asr.text.timed import Timed


def render_textgrid(tiers: Mapping[str, Sequence[Timed]], duration_seconds: float) -> str:
    """Tiers by name, each of spans that do not overlap, with empty intervals between them."""
    extent = ["xmin = 0", f"xmax = {_exact(duration_seconds)}"]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *extent]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, spans) in enumerate(tiers.items(), 1):
        intervals = list(_fill_gaps(spans, duration_seconds))
        header = ['class = "IntervalTier"', f'name = "{name}"', *extent]
        header += [f"intervals: size = {len(intervals)}"]
        lines += [f"    item [{number}]:", *(f"        {line}" for line in header)]
        for position, span in enumerate(intervals, 1):
            text = span.text.replace('"', '""')
            lines += [
                f"        intervals [{position}]:",
                f"            xmin = {_exact(span.start_seconds)}",
                f"            xmax = {_exact(span.end_seconds)}",
                f'            text = "{text}"',
            ]
    return "\n".join(lines) + "\n"


def _fill_gaps(spans: Sequence[Timed], duration_seconds: float) -> Iterator[Timed]:
    """The spans, with empty ones in all gaps from 0 to the end."""
    reached = 0.0
    for span in spans:
        if span.start_seconds > reached:
            yield Timed("", reached, span.start_seconds)
        yield span
        reached = span.end_seconds
    if reached < duration_seconds:
        yield Timed("", reached, duration_seconds)


def _exact(seconds: float) -> str:
    """All digits: where one interval ends the next must begin exactly."""
    return format(seconds, ".17g")
