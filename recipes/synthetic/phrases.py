"""Phrases like those of AN4: spelled names, codes, numbers, dates and one-word commands.

A small random grammar. The kinds and their proportions follow the tasks of the speakers of CMU AN4;
the names, streets and cities are common or invented ones, the rest is drawn at random.
Every transcript is upper case, A–Z and single spaces; a word of one letter is that letter's name,
except the article in AND A HALF.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from random import Random

ONES = "ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE".split()
TEENS = "TEN ELEVEN TWELVE THIRTEEN FOURTEEN FIFTEEN SIXTEEN SEVENTEEN EIGHTEEN NINETEEN".split()
TENS = "TWENTY THIRTY FORTY FIFTY SIXTY SEVENTY EIGHTY NINETY".split()
ORDINALS = (
    "FIRST SECOND THIRD FOURTH FIFTH SIXTH SEVENTH EIGHTH NINTH TENTH ELEVENTH TWELFTH THIRTEENTH "
    "FOURTEENTH FIFTEENTH SIXTEENTH SEVENTEENTH EIGHTEENTH NINETEENTH TWENTIETH"
).split()
MONTHS = (
    "JANUARY FEBRUARY MARCH APRIL MAY JUNE JULY AUGUST SEPTEMBER OCTOBER NOVEMBER DECEMBER"
).split()
COMMANDS = "YES NO GO START STOP HELP REPEAT ENTER ERASE RUBOUT".split()
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_SURNAMES = (
    "ADAMS ALLEN ALVAREZ ANDERSON BAILEY BAKER BARNES BENNETT BISHOP BOWMAN BOYD BRADLEY BURKE "
    "BUTLER CALDWELL CAMPBELL CARTER CHANG CHAVEZ COHEN COLEMAN COOPER COX CRUZ CUNNINGHAM DAVIS "
    "DELGADO DIXON DUNN EDWARDS ELLIOTT EVANS FERGUSON FISCHER FLETCHER FOSTER FRASER FUJIMOTO "
    "GALLAGHER GARCIA GONZALEZ GRAHAM GRIFFIN GUPTA HAMILTON HARPER HENDRICKS HERNANDEZ HOFFMAN "
    "HOLMES HUGHES HUNTER IBARRA INGRAM IRWIN IYER JACKSON JARVIS JENKINS JIMENEZ KAPLAN KAUFMAN "
    "KELLY KENNEDY KIM KLEIN KOWALSKI LAMBERT LARSSON LEVINE LIPINSKI LOPEZ LYNCH MARQUEZ "
    "MARTINEZ MCCARTHY MCDONALD MENDOZA MITCHELL MURPHY MYERS NAKAMURA NAVARRO NGUYEN NICHOLS "
    "NOVAK OBRIEN OLIVER ORTEGA OWENS PADILLA PALMER PARKER PATEL PETROV PHELPS POWELL QUIGLEY "
    "QUINN RAMIREZ REYNOLDS RICHARDSON ROBBINS RODRIGUEZ ROSSI RUSSELL SANCHEZ SCHMIDT SCHWARTZ "
    "SHAPIRO SIMPSON SINGH STEWART SULLIVAN TANAKA THOMPSON TORRES TUCKER UNDERWOOD UPTON VALDEZ "
    "VARGAS VASQUEZ VOGEL WAGNER WALKER WATSON WEBER WHEELER WILKES WONG WRIGHT XAVIER XIONG "
    "YAMADA YATES YOUNG ZAMORA ZHANG ZIMMERMAN ZUCKER"
).split()
_GIVEN_NAMES = (
    "AARON ABIGAIL ADAM ALEXANDER ALICE AMANDA ANDREW ANGELA ANTHONY ARTHUR BARBARA BENJAMIN BETH "
    "BRENDA BRUCE CALVIN CARLOS CAROLINE CATHERINE CECIL CLAIRE CRAIG CYNTHIA DEBORAH DENNIS "
    "DIANE DOROTHY DOUGLAS EDGAR ELAINE ELIZABETH EMILY EUGENE EVELYN FELIX FIONA FLORENCE FRANK "
    "FRED GABRIEL GAIL GEORGE GERALD GLORIA GRACE GREGORY HANNAH HAROLD HEATHER HECTOR HELEN "
    "HENRY HUGO IAN INGRID IRENE ISAAC IVAN JACK JACOB JANICE JASMINE JASON JEREMY JESSICA JOAN "
    "JOSHUA JOYCE JUDITH JULIAN KATHLEEN KEITH KELLY KEVIN KIMBERLY KURT KYLE LARRY LAURA LEONARD "
    "LESLIE LOUISE LUCY LUKE LYDIA MARGARET MARIA MARTIN MARVIN MAX MEGAN MELISSA MILDRED MORRIS "
    "NANCY NAOMI NIGEL NORA NORMAN OLGA OLIVE OSCAR PAMELA PATRICK PAUL PEGGY PETER PHILIP "
    "QUENTIN RACHEL RALPH RAYMOND REBECCA REX ROGER ROSE RUTH SAMUEL SANDRA SCOTT SEAN SIMON "
    "SOPHIE STELLA STUART SUSAN SYLVIA TERESA THEODORE TIFFANY TODD URSULA VALERIE VANESSA VERA "
    "VICTOR VINCENT VIVIAN WALTER WANDA WENDY WILLIAM XENA YOLANDA YVONNE ZACHARY ZOE"
).split()
_STREETS = (
    "ASH BAYARD BIRCH BRIDGE BROADWAY CANAL CASTLE CEDAR CHERRY CHESTNUT CHURCH CLIFF COLLEGE "
    "CYPRESS DOGWOOD ELM EVERGREEN FAIRVIEW FOREST FRANKLIN FRONT GARDEN GROVE HARBOR HAZEL "
    "HICKORY HILL HUDSON JACKSON JASPER JUNIPER KINGSTON LAKE LAUREL LIBERTY LINCOLN LOCUST "
    "MADISON MAGNOLIA MAIN MARKET MEADOW MILL MONROE MULBERRY OAK ORANGE PEARL POPLAR PROSPECT "
    "QUARRY RAILROAD RIDGE RIVER ROSEWOOD SCHOOL SPRUCE SUNSET SYCAMORE UNION VALLEY VICTORIA "
    "VINE WALNUT WATER WILLOW YORK"
).split()
_STREET_KINDS = "STREET AVENUE AVE ROAD DRIVE LANE PLACE COURT".split()
_CITIES = (
    "AKRON ALBANY ALTOONA ATLANTA AUSTIN BALTIMORE BEAVER BOISE BOSTON BOULDER BUFFALO BUTLER "
    "CHARLOTTE CHICAGO CINCINNATI CLEVELAND COLUMBUS DALLAS DAYTON DENVER DETROIT DULUTH ELMIRA "
    "ERIE EUGENE EVANSTON FARGO FLINT FRESNO GALVESTON GREENSBURG HARRISBURG HARTFORD HOUSTON "
    "INDIANA JACKSONVILLE JERSEY JOHNSTOWN JOLIET KALAMAZOO KANSAS LANCASTER LANSING LAREDO "
    "LEXINGTON MADISON MEMPHIS MIAMI MILWAUKEE MOBILE NASHVILLE NEWARK NORFOLK OAKLAND OMAHA "
    "ORLANDO PASADENA PEORIA PHILADELPHIA PHOENIX PORTLAND PROVIDENCE QUINCY RALEIGH READING RENO "
    "RICHMOND ROANOKE ROCHESTER SALEM SAVANNAH SCRANTON SEATTLE SPOKANE SYRACUSE TACOMA TAMPA "
    "TOLEDO TOPEKA TRENTON TUCSON TULSA UNIONTOWN UTICA WACO WHEELING WICHITA WILMINGTON XENIA "
    "YONKERS YOUNGSTOWN ZANESVILLE"
).split()
_ONSETS = "B BR C CH CL D DR F FL G GR H J K KR L M N P PR QU R S SCH SH ST T TH TR V W Y Z".split()
_NUCLEI = "A A E E I I O O U AI AU EA EE IE OO OU Y".split()
_CODAS = "B CK D FF G LD LL LT M MP N ND NG NT P R RD RK RT S SS T TCH TZ V W X Z".split()
_BIRTHDAYS = date(1920, 1, 1).toordinal(), date(2000, 1, 1).toordinal()


@dataclass(frozen=True)
class Phrase:
    """A transcript and its kind, a key of `KINDS`."""

    kind: str
    text: str


def spelled(word: str) -> str:
    """The letters of a word, spaced."""
    return " ".join(word)


def two_digits(number: int) -> str:
    """10 to 99 in words."""
    assert 10 <= number <= 99, number
    if number < 20:
        return TEENS[number - 10]
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f" {ONES[ones]}" if ones else "")


def ordinal(number: int) -> str:
    """1 to 31 as an ordinal in words."""
    assert 1 <= number <= 31, number
    if number <= 20:
        return ORDINALS[number - 1]
    return "THIRTIETH" if number == 30 else f"{TENS[number // 10 - 2]} {ORDINALS[number % 10 - 1]}"


def _digits(random: Random, count: int) -> str:
    """Digits one by one; within a phrase 0 is always OH or always ZERO."""
    zero = random.choice(("OH", "ZERO"))
    drawn = [random.randrange(10) for _ in range(count)]
    return " ".join(ONES[digit] if digit else zero for digit in drawn)


def _pair(random: Random) -> str:
    """Two digits as at the end of FORTY THREE OH NINE."""
    number = random.randrange(1, 100)
    return two_digits(number) if number >= 10 else f"OH {ONES[number]}"


def _quantity(random: Random) -> str:
    """A number in words with HUNDRED, sometimes with THOUSAND."""
    parts = [ONES[random.randrange(1, 10)], "HUNDRED"]
    if random.random() < 0.4:
        parts = [ONES[random.randrange(1, 10)], "THOUSAND", *parts]
    if random.random() < 0.8:
        parts += ["AND"] * random.randrange(2) + [two_digits(random.randrange(10, 100))]
    return " ".join(parts)


def _number(random: Random) -> str:
    match random.choices(range(6), (30, 30, 15, 10, 10, 5))[0]:
        case 0:
            return _digits(random, 1)
        case 1:
            return two_digits(random.randrange(10, 100))
        case 2:
            return _digits(random, random.randrange(2, 5))
        case 3:
            return f"{ONES[random.randrange(1, 10)]} {_pair(random)}"
        case 4:
            return f"{two_digits(random.randrange(10, 100))} {_pair(random)}"
        case _:
            return _quantity(random)


def _invented(random: Random) -> str:
    """An invented pronounceable name of one to three syllables."""
    syllables = random.choices((1, 2, 3), (2, 5, 2))[0]
    name = "".join(random.choice(_ONSETS) + random.choice(_NUCLEI) for _ in range(syllables))
    return name + (random.choice(_CODAS) if random.random() < 0.7 else "")


def _name(random: Random, listed: list[str]) -> str:
    return spelled(random.choice(listed) if random.random() < 0.6 else _invented(random))


def _surname(random: Random) -> str:
    if random.random() < 0.02:
        return f"O APOSTROPHE {_name(random, _SURNAMES)}"
    return _name(random, _SURNAMES)


def _given_name(random: Random) -> str:
    return _name(random, _GIVEN_NAMES)


def _city(random: Random) -> str:
    return _name(random, _CITIES)


def _street(random: Random) -> str:
    if random.random() < 0.06:
        side, number = random.choice(("EAST", "WEST")), ordinal(random.randrange(1, 32))
        return f"{spelled(side)} {number} {spelled('STREET')}"
    street = _name(random, _STREETS)
    return street if random.random() < 0.6 else f"{street} {spelled(random.choice(_STREET_KINDS))}"


def _house(random: Random) -> str:
    """A house number, sometimes with BOX before it or with a half or a letter after it."""
    if random.random() < 0.3:
        number = _digits(random, random.randrange(3, 5))
    elif random.random() < 0.5:
        number = f"{ONES[random.randrange(1, 10)]} {_pair(random)}"
    elif random.random() < 0.85:
        number = f"{two_digits(random.randrange(10, 100))} {_pair(random)}"
    else:
        number = f"{ONES[random.randrange(1, 10)]} {random.choice(('HUNDRED', 'THOUSAND'))}"
    match random.choices(range(4), (90, 4, 4, 2))[0]:
        case 1:
            return f"{number} AND A HALF"
        case 2:
            return f"{number} {random.choice(LETTERS[:6])}"
        case 3:
            return f"{spelled('BOX')} {number}"
        case _:
            return number


def _zip_code(random: Random) -> str:
    return _digits(random, 5)


def _phone(random: Random) -> str:
    if random.random() < 0.7:
        return _digits(random, 7)
    return ("AREA CODE " if random.random() < 0.1 else "") + _digits(random, 10)


def _date(random: Random) -> str:
    drawn = date.fromordinal(random.randrange(*_BIRTHDAYS))
    month, day, name = drawn.month, drawn.day, MONTHS[drawn.month - 1]
    cardinal = two_digits(day) if day >= 10 else ONES[day]
    short_year = two_digits(drawn.year - 1900)
    year = short_year if random.random() < 0.15 else f"NINETEEN {short_year}"
    match random.choices(range(5), (45, 35, 10, 5, 5))[0]:
        case 0:
            return f"{name} {ordinal(day)} {year}"
        case 1:
            number = two_digits(month) if month >= 10 else ONES[month]
            return f"{number} {cardinal} {short_year}"
        case 2:
            return f"{name} {cardinal} {year}"
        case 3:
            return f"{cardinal} {name} {year}"
        case _:
            return f"{ordinal(day)} OF {name} {year}"


def _letters(random: Random) -> str:
    return " ".join(random.choices(LETTERS, k=random.randrange(4, 6)))


def _code(random: Random) -> str:
    return f"{_letters(random)} {_number(random)}"


def _edit(random: Random) -> str:
    return f"{random.choice(('RUBOUT', 'ERASE'))} {_code(random)}"


def _enter(random: Random) -> str:
    return f"ENTER {_number(random)}"


def _command(random: Random) -> str:
    return random.choice(COMMANDS)


KINDS: dict[str, tuple[float, Callable[[Random], str]]] = {
    "command": (11, _command),
    "enter": (9, _enter),
    "edit": (10, _edit),
    "code": (10, _code),
    "surname": (8, _surname),
    "given name": (8, _given_name),
    "house": (7, _house),
    "street": (8, _street),
    "city": (8, _city),
    "zip code": (7, _zip_code),
    "phone": (7, _phone),
    "date": (7, _date),
}
"""Kinds of phrases: weight in per cent, and the function that draws one."""


def draw(random: Random, kind: str | None = None) -> Phrase:
    """Draw a phrase of the given kind, or of a kind drawn by the weights of `KINDS`."""
    if kind is None:
        kind = random.choices(list(KINDS), [weight for weight, _ in KINDS.values()])[0]
    return Phrase(kind, KINDS[kind][1](random))
