"""Phrases for synthesisers to say: commands, single words, numbers, times, names, spelled words.

    python -m recipes.english.phrases data/librispeech/manifest.jsonl \
        data/speechocean762/train.jsonl --count 20000 -o data/english/phrases.txt

A phrase a line, as `recipes.synthetic.neural` reads them: in capitals, `a` in lower case being the
article, as a word of one capital is the name of a letter. Words and parts of sentences are those of
the manifests; commands and numbers are drawn from the small grammar below. The commands of
`commands.txt`, which models are tested with, are left out.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from asr.corpus.manifest import read_manifest
from asr.files import make_folder, write_text_atomic
from recipes.command import run_command
from recipes.synthetic import phrases as alphanumeric
from recipes.synthetic.phrases import LETTERS, MONTHS, ONES, ordinal, spelled, two_digits

TEST_COMMANDS = Path(__file__).parent / "commands.txt"
MIN_OCCURRENCES = 2
"""Of a word in the manifests: rarer ones are mostly names."""

COMMAND_WORDS = (
    "ABORT ACCEPT ACTIVATE ADD AGAIN ALARM ANSWER AWAY BACK BACKWARD BED BEGIN BIRD BOTTOM CALL "
    "CAMERA CANCEL CAT CHECK CLEAR CLOSE CONFIRM CONTINUE COPY DELETE DISPLAY DOG DONE DOWN DROP "
    "EAST EDIT END ENTER ERASE ESCAPE EXIT FAN FAST FASTER FINISH FIND FOLLOW FORWARD FREEZE FRONT "
    "GO GRAB HALT HAPPY HELLO HELP HIGHER HOLD HOME HOUSE INSERT LAST LEARN LEFT LESS LIGHT LIGHTS "
    "LOCK LOUDER LOWER MARVIN MENU MESSAGE MORE MOVE MUSIC MUTE NEXT NO NORTH OFF OKAY ON OPEN "
    "PASTE PAUSE PHONE PLAY POWER PRESS PREVIOUS PRINT PULL PUSH QUIET QUIT RADIO READ READY "
    "RECORD REDO REFRESH REJECT RELEASE REMOVE REPEAT REPLAY RESET RESTART RESUME RETURN RIGHT "
    "RUN SAVE SCAN SCROLL SEARCH SELECT SEND SHEILA SHOOT SHOW SHUFFLE SILENCE SKIP SLEEP SLOW "
    "SLOWER SNOOZE SOUTH SPEAK START STATUS STAY STOP SUBMIT SWITCH TAKE TEST THANKS TIMER TOP "
    "TREE TURN UNDO UNLOCK UNMUTE UP UPDATE VISUAL VOLUME WAIT WAKE WEST WOW WRITE YES ZOOM"
).split()
"""What is often a command by itself."""

_ALPHABET = (
    "ALPHA BRAVO CHARLIE DELTA ECHO FOXTROT GOLF HOTEL INDIA JULIET KILO LIMA MIKE NOVEMBER OSCAR "
    "PAPA QUEBEC ROMEO SIERRA TANGO UNIFORM VICTOR WHISKEY XRAY YANKEE ZULU"
).split()
_ROOMS = (
    "KITCHEN|BEDROOM|LIVING ROOM|BATHROOM|HALLWAY|GARAGE|OFFICE|CELLAR|DINING ROOM|BALCONY|"
    "BASEMENT|NURSERY|STAIRCASE|WORKSHOP|GARDEN|PORCH"
).split("|")
_DEVICES = (
    "LIGHT|LIGHTS|LAMP|FAN|HEATER|RADIO|TELEVISION|SPEAKER|ALARM|CAMERA|OVEN|WASHING MACHINE|"
    "DISHWASHER|AIR CONDITIONER|COFFEE MACHINE|PRINTER|PROJECTOR|PUMP|MOTOR|ENGINE|COMPRESSOR"
).split("|")
_OPENINGS = "DOOR|WINDOW|GATE|CURTAINS|BLINDS|SHUTTERS|VALVE|HATCH|DRAWER|LID".split("|")
_LEVELS = "VOLUME|BRIGHTNESS|TEMPERATURE|SPEED|PRESSURE|CONTRAST|THERMOSTAT|FREQUENCY".split("|")
_PLAYED = (
    "MUSIC|SOME JAZZ|THE NEWS|MY PLAYLIST|a PODCAST|CLASSICAL MUSIC|THE NEXT SONG|a SONG|"
    "THE LAST EPISODE|ROCK MUSIC|THE RADIO|AN AUDIO BOOK"
).split("|")
_PERSONS = (
    "MUM|DAD|MY SISTER|MY BROTHER|THE OFFICE|THE DOCTOR|THE NURSE|GRANDMA|THE FRONT DESK|"
    "MARIA|PETER|SUSAN|JAMES|ANNA|DAVID|LINDA|ROBERT|LUCY|THOMAS|EMMA"
).split("|")
_FILES = "FILE|WINDOW|PAGE|FOLDER|DOCUMENT|PICTURE|LETTER|RECORDING|REPORT|LIST|MAP|TABLE".split(
    "|"
)
_DOINGS = "OPEN|CLOSE|SAVE|DELETE|PRINT|SHOW|HIDE|COPY|MOVE|RENAME|SEND|FIND|SELECT".split("|")
_MOVES = "GO|MOVE|TURN|DRIVE|STEP|LOOK|FLY|SLIDE|POINT".split("|")
_WAYS = "LEFT|RIGHT|FORWARD|BACK|UP|DOWN|AROUND|HOME|NORTH|SOUTH|EAST|WEST|STRAIGHT AHEAD".split(
    "|"
)
_UNITS = "SECONDS|MINUTES|HOURS|METERS|DEGREES|PER CENT|STEPS|MILES|LITERS|GRAMS".split("|")
_MEDICAL = (
    "BLOOD PRESSURE|HEART RATE|PULSE|TEMPERATURE|OXYGEN|WEIGHT|HEIGHT|BLOOD SUGAR|DOSE|PAIN LEVEL"
).split("|")
_RADIO = (
    "ROGER|OVER|OVER AND OUT|COPY THAT|SAY AGAIN|STAND BY|MAYDAY MAYDAY|NEGATIVE|AFFIRMATIVE|"
    "GO AHEAD|RADIO CHECK|MESSAGE RECEIVED|WILCO|HOLD POSITION|ALL STATIONS"
).split("|")
_QUESTIONS = (
    "WHAT TIME IS IT|WHAT IS THE WEATHER LIKE|WHO IS THERE|HOW MUCH IS LEFT|WHERE ARE YOU|"
    "WHAT IS ON MY LIST|WHEN IS THE NEXT BUS|HOW ARE YOU|WHAT DAY IS IT TODAY|IS ANYBODY THERE|"
    "HOW FAR IS IT|WHAT IS THE PRESSURE NOW|CAN YOU HEAR ME|WHO IS CALLING"
).split("|")
_DAYS = "MONDAY TUESDAY WEDNESDAY THURSDAY FRIDAY SATURDAY SUNDAY".split()


def number(random: Random, most: int = 9999) -> str:
    """A number in words, small ones more often."""
    value = random.randrange(most + 1) if random.random() < 0.2 else random.randrange(100)
    return in_words(min(value, most))


def in_words(value: int) -> str:
    """0 to 9999 in words."""
    assert 0 <= value < 10_000, value
    parts = []
    for size, name in ((1000, "THOUSAND"), (100, "HUNDRED")):
        if count := value // size:
            parts += [ONES[count], name]
            value %= size
    if value >= 10:
        parts.append(two_digits(value))
    elif value or not parts:
        parts.append(ONES[value])
    return " ".join(parts)


def time_of_day(random: Random) -> str:
    """A time as people say it."""
    hour = in_words(random.randrange(1, 13))
    minute = random.randrange(60)
    match random.randrange(5):
        case 0:
            return f"{hour} O'CLOCK"
        case 1:
            return f"{random.choice(('HALF PAST', 'QUARTER PAST', 'QUARTER TO'))} {hour}"
        case 2:
            return f"{hour} {random.choice(('A M', 'P M'))}"
        case 3 if minute >= 10:
            return f"{hour} {in_words(minute)} {random.choice(('A M', 'P M'))}"
        case _:
            return f"{in_words(minute or 1)} {random.choice(('TO', 'PAST'))} {hour}"


def day(random: Random) -> str:
    """A day of the week, or of the year."""
    if random.random() < 0.4:
        return f"{random.choice(('', 'ON ', 'NEXT '))}{random.choice(_DAYS)}"
    return f"{random.choice(MONTHS)} {ordinal(random.randrange(1, 32))}"


def command(random: Random) -> str:
    """A command of two and more words."""
    pick = random.choice
    the = pick(("THE ", "THE ", "MY ", ""))
    made: list[Callable[[], str]] = [
        lambda: (
            f"{pick(('TURN', 'SWITCH'))} {pick(('ON', 'OFF'))} {the}{pick(_ROOMS)} {pick(_DEVICES)}"
        ),
        lambda: f"{pick(('TURN', 'SWITCH'))} {the}{pick(_DEVICES)} {pick(('ON', 'OFF'))}",
        lambda: f"{pick(('START', 'STOP', 'CHECK', 'RESET'))} {the}{pick(_DEVICES)}",
        lambda: (
            f"{pick(('OPEN', 'CLOSE', 'LOCK', 'UNLOCK'))} {the}{pick(_ROOMS)} {pick(_OPENINGS)}"
        ),
        lambda: f"{pick(('OPEN', 'CLOSE'))} {the}{pick(_OPENINGS)}",
        lambda: f"SET {the}{pick(_LEVELS)} TO {number(random, 200)}",
        lambda: f"{pick(('RAISE', 'LOWER', 'INCREASE', 'REDUCE'))} {the}{pick(_LEVELS)}",
        lambda: f"{the}{pick(_LEVELS)} {pick(('UP', 'DOWN'))}",
        lambda: f"SET a TIMER FOR {number(random, 90)} {pick(('SECONDS', 'MINUTES', 'HOURS'))}",
        lambda: f"WAKE ME UP AT {time_of_day(random)}",
        lambda: f"REMIND ME {day(random)} AT {time_of_day(random)}",
        lambda: f"PLAY {pick(_PLAYED)}",
        lambda: f"{pick(('CALL', 'PHONE', 'TEXT', 'MESSAGE'))} {pick(_PERSONS)}",
        lambda: f"SEND a MESSAGE TO {pick(_PERSONS)}",
        lambda: f"{pick(_DOINGS)} {pick(('THE', 'THIS', 'THAT', 'a NEW', 'EVERY'))} {pick(_FILES)}",
        lambda: f"{pick(_MOVES)} {pick(_WAYS)}",
        lambda: f"{pick(_MOVES)} {pick(_WAYS)} {number(random, 90)} {pick(_UNITS)}",
        lambda: f"{pick(_MEDICAL)} {number(random, 300)}",
        lambda: f"{pick(_MEDICAL)} {number(random, 200)} OVER {number(random, 120)}",
        lambda: pick(_RADIO),
        lambda: " ".join(random.choices(_ALPHABET, k=random.randrange(1, 5))),
        lambda: pick(_QUESTIONS),
        lambda: f"{pick(('TELL ME', 'SHOW ME', 'READ'))} {the}{pick(_MEDICAL + _LEVELS)}",
        lambda: f"{pick(COMMAND_WORDS)} {pick(COMMAND_WORDS)}",
    ]
    return pick(made)()


def counted(random: Random) -> str:
    """Numbers, amounts, times, days."""
    match random.randrange(4):
        case 0:
            return number(random)
        case 1:
            return f"{number(random, 999)} {random.choice(_UNITS)}"
        case 2:
            return time_of_day(random)
        case _:
            return day(random)


class Phrases:
    """Draws phrases; words and parts of sentences are those of some texts."""

    def __init__(self, texts: Sequence[str], excluded: Sequence[str]) -> None:
        self._texts = [text.split() for text in texts]
        counts = Counter(word for words in self._texts for word in words)
        self.words = sorted(
            word for word, count in counts.items() if count >= MIN_OCCURRENCES and len(word) > 1
        )
        self._excluded = frozenset(excluded)

    def __call__(self, random: Random) -> str:
        """A phrase; one of those excluded is never returned."""
        while True:
            phrase = random.choices(
                (
                    lambda: alphanumeric.draw(random).text.replace("AND A HALF", "AND a HALF"),
                    lambda: command(random),
                    lambda: random.choice(COMMAND_WORDS),
                    lambda: random.choice(self.words),
                    lambda: self._part(random),
                    lambda: counted(random),
                    lambda: random.choice(ONES),
                    lambda: random.choice(LETTERS),
                    lambda: spelled(random.choice(self.words).replace("'", "")),
                ),
                (20, 22, 14, 16, 8, 8, 5, 4, 3),
            )[0]()
            if phrase.upper() not in self._excluded:
                return phrase

    def _part(self, random: Random) -> str:
        """Two to five words of a sentence."""
        words = random.choice(self._texts)
        count = random.randrange(2, 6)
        start = random.randrange(max(1, len(words) - count))
        return " ".join("a" if word == "A" else word for word in words[start : start + count])


def read_commands(path: Path = TEST_COMMANDS) -> list[str]:
    """The commands that models are tested with."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def main(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST...")],
    count: Annotated[int, typer.Option("--count", min=1)] = 20_000,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("data/english/phrases.txt"),
) -> None:
    """Write phrases for synthesisers, whose words are those of some manifests."""
    texts = [one.text for path in manifests for one in read_manifest(path)]
    texts = [text for text in texts if re.fullmatch("[A-Z' ]+", text)]
    draw = Phrases(texts, read_commands())
    random = Random(f"english {seed}")
    lines = [draw(random) for _ in range(count)]
    make_folder(output.parent)
    write_text_atomic(output, "".join(f"{line}\n" for line in lines))
    typer.echo(f"{output}: {len(lines)} phrases, {len(set(lines))} different ones")


if __name__ == "__main__":
    run_command(main)
