"""The grammar of `where`: text to a tree, bounded in length, depth and number of comparisons.

::

    condition  = all {"or" all}
    all        = not {"and" not}
    not        = "not" not | "(" condition ")" | comparison
    comparison = operand ("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") operand
               | operand ["not"] "in" "(" literal {"," literal} ")"
               | literal ["not"] "in" column            the column holds lists
               | operand ["not"] "between" operand "and" operand
               | column ["not"] ("like" | "ilike") text  % for any characters, _ for one
               | column "is" ["not"] "null"
               | operand                                a column or literal that is true or false
    operand    = column | literal
    column     = name | '"' any characters '"'
    literal    = number | text in single quotes | "true" | "false" | "null"

Words of the grammar are read in any case; a single quote inside a text is written twice. Where
both sides are known, the meaning is SQL's; what is unknown (null) fulfils no condition.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from recsys.base.errors import DataError

MOST_CHARACTERS = 16_384
MOST_COMPARISONS = 64
MOST_DEPTH = 32
MOST_PATTERNS = 16  # of like and ilike, which take longest
MOST_PATTERN = 256  # characters of one: the time of a match grows with them
_LARGEST_EXPONENT = 400  # of a number; float64 ends at 308
_EXAMPLE = "\"category in ('a', 'b') and price < 20\""

_WORDS = frozenset(
    ("and", "or", "not", "in", "between", "like", "ilike", "is", "null", "true", "false")
)
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,9})?(?![\w.]))
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<name>[^\W\d]\w*)
      | (?P<sign><=|>=|<>|!=|==|=|<|>|\(|\)|,)
      | (?P<end>$)
    )""",
    re.VERBOSE,
)
_COMPARISONS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">"}
_COMPARISONS[">="] = ">="


@dataclass(frozen=True)
class ColumnName:
    """A column by the name that the condition gives it."""

    name: str


@dataclass(frozen=True)
class Literal:
    """A number, a text, true, false or null."""

    value: Decimal | str | bool | None


Operand: TypeAlias = ColumnName | Literal


@dataclass(frozen=True)
class Relation:
    """One of = != < <= > >= between two operands."""

    sign: str
    left: Operand
    right: Operand


@dataclass(frozen=True)
class AmongValues:
    """Whether an operand equals one of some literals."""

    operand: Operand
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class InList:
    """Whether the list that a column holds has a value."""

    value: Literal
    column: ColumnName


@dataclass(frozen=True)
class Like:
    """Whether a text has a pattern."""

    column: ColumnName
    pattern: str
    ignore_case: bool


@dataclass(frozen=True)
class IsNull:
    """Whether nothing is known."""

    column: ColumnName


@dataclass(frozen=True)
class Truth:
    """A column or literal that is itself true or false."""

    operand: Operand


@dataclass(frozen=True)
class Not:
    """The opposite; unknown stays unknown."""

    condition: "Condition"


@dataclass(frozen=True)
class Every:
    """All of some conditions."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True)
class Some:
    """At least one of some conditions."""

    conditions: tuple["Condition", ...]


Condition: TypeAlias = Relation | AmongValues | InList | Like | IsNull | Truth | Not | Every | Some


def parse(text: str) -> Condition:
    """Return the tree of a condition.

    Raises
    ------
    DataError
        If the text is too long or too deep, or not of the grammar; it says where.
    """
    if len(text) > MOST_CHARACTERS:
        raise DataError(
            f"where: expected at most {MOST_CHARACTERS:,} characters, got {len(text):,}"
        )
    return _Parser(_tokens(text)).whole()


def columns_of(part: object) -> frozenset[str]:
    """Return the names of columns in a condition, as it spells them."""
    if isinstance(part, ColumnName):
        return frozenset([part.name])
    inside: Iterable[object] = part if isinstance(part, tuple) else ()
    if is_dataclass(part):
        inside = [getattr(part, one.name) for one in fields(part)]
    return frozenset[str]().union(*map(columns_of, inside))


class _Token(NamedTuple):
    kind: str  # number, text, quoted, name, word, sign or end
    value: str
    start: int


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    while not found or found[-1].kind != "end":
        match = _TOKEN.match(text, position)
        if match is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            raise _refusal("a word, a number or a sign of the grammar", text[start:], start)
        kind = str(match.lastgroup)
        value, start = match[kind], match.start(kind)
        if kind == "name" and value.lower() in _WORDS:
            kind, value = "word", value.lower()
        found.append(_Token(kind, value, start))
        position = match.end()
    return found


class _Parser:
    """A recursive descent over the tokens, one method a rule."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0
        self._n_comparisons = 0
        self._n_patterns = 0

    def whole(self) -> Condition:
        condition = self._condition()
        self._expect("end", "", "the end, 'and' or 'or'")
        return condition

    def _condition(self) -> Condition:
        parts = [self._all()]
        while self._take("word", "or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _all(self) -> Condition:
        parts = [self._not()]
        while self._take("word", "and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _not(self) -> Condition:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise DataError(f"where: expected at most {MOST_DEPTH} levels of parentheses and 'not'")
        if self._take("word", "not"):
            condition: Condition = Not(self._not())
        elif self._take("sign", "("):
            condition = self._condition()
            self._expect("sign", ")", "')'")
        else:
            condition = self._comparison()
        self._depth -= 1
        return condition

    def _comparison(self) -> Condition:
        self._n_comparisons += 1
        if self._n_comparisons > MOST_COMPARISONS:
            raise DataError(f"where: expected at most {MOST_COMPARISONS} comparisons")
        left = self._operand()
        token = self._tokens[self._next]
        if token.kind == "sign" and token.value in _COMPARISONS:
            self._next += 1
            return Relation(_COMPARISONS[token.value], left, self._operand())
        if self._take("word", "is"):
            is_negated = self._take("word", "not")
            self._expect("word", "null", "'null'")
            return _negated(IsNull(self._column(left, token)), is_negated)
        is_negated = self._take("word", "not")
        if self._take("word", "in"):
            return _negated(self._membership(left), is_negated)
        if self._take("word", "between"):
            low = self._operand()
            self._expect("word", "and", "'and' and the upper end of 'between'")
            between = Relation(">=", left, low), Relation("<=", left, self._operand())
            return _negated(Every(between), is_negated)
        for word in ("like", "ilike"):
            if self._take("word", word):
                like = Like(self._column(left, token), self._pattern(), word == "ilike")
                return _negated(like, is_negated)
        if is_negated:
            raise self._failure("'in', 'between' or 'like'")
        return Truth(left)

    def _pattern(self) -> str:
        pattern = _unquoted(self._expect("text", None, "a pattern in single quotes"))
        self._n_patterns += 1
        if len(pattern) > MOST_PATTERN or self._n_patterns > MOST_PATTERNS:
            raise DataError(
                f"where: expected at most {MOST_PATTERNS} patterns of at most {MOST_PATTERN} "
                f"characters, got {self._n_patterns} of {len(pattern):,}"
            )
        return pattern

    def _membership(self, left: Operand) -> Condition:
        if not self._take("sign", "("):
            column = self._operand()
            if not isinstance(left, Literal) or not isinstance(column, ColumnName):
                raise self._failure("values in parentheses, or a literal in a column of lists")
            return InList(left, column)
        values = [self._literal()]
        while self._take("sign", ","):
            values.append(self._literal())
        self._expect("sign", ")", "',' or ')'")
        return AmongValues(left, tuple(values))

    def _operand(self) -> Operand:
        token = self._tokens[self._next]
        if token.kind in ("name", "quoted"):
            self._next += 1
            return ColumnName(token.value if token.kind == "name" else _unquoted(token.value))
        return self._literal()

    def _literal(self) -> Literal:
        token = self._tokens[self._next]
        self._next += 1
        if token.kind == "number":
            return Literal(_number(token))
        if token.kind == "text":
            return Literal(_unquoted(token.value))
        if token.kind == "word" and token.value in ("true", "false"):
            return Literal(token.value == "true")
        if token.kind == "word" and token.value == "null":
            return Literal(None)
        self._next -= 1
        raise self._failure("a column, a number or a text in single quotes")

    def _column(self, operand: Operand, token: _Token) -> ColumnName:
        if not isinstance(operand, ColumnName):
            raise _refusal("a column to the left", token.value, token.start)
        return operand

    def _take(self, kind: str, value: str) -> bool:
        token = self._tokens[self._next]
        is_there = (token.kind, token.value) == (kind, value)
        self._next += is_there
        return is_there

    def _expect(self, kind: str, value: str | None, what: str) -> str:
        token = self._tokens[self._next]
        if token.kind != kind or value not in (None, token.value):
            raise self._failure(what)
        self._next += 1
        return token.value

    def _failure(self, what: str) -> DataError:
        token = self._tokens[self._next]
        return _refusal(what, token.value, token.start)


def _negated(condition: Condition, is_negated: bool) -> Condition:
    return Not(condition) if is_negated else condition


def _unquoted(quoted: str) -> str:
    return quoted[1:-1].replace(quoted[0] * 2, quoted[0])


def _number(token: _Token) -> Decimal:
    number = Decimal(token.value)
    if number and not -_LARGEST_EXPONENT < number.adjusted() < _LARGEST_EXPONENT:
        raise _refusal("a number that float64 can hold", token.value, token.start)
    return number


def _refusal(what: str, got: str, start: int) -> DataError:
    shown = f"{got[:20]!r} at character {start + 1}" if got else "the end"
    return DataError(
        f"where: expected a condition such as {_EXAMPLE}: expected {what}, got {shown}"
    )
