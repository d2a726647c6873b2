"""The numbers of :mod:`runtime.tools.arithmetic`: how large they may become, powers of them, and the functions there are.

Numbers are fractions. What is none (roots, logarithms) is worked out in the current decimal context, which is a copy of
:data:`CONTEXT`; its flag ``Inexact`` then says whether a digit was lost.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

MOST_DIGITS = 1000
"""Of a whole number, on the way and at the end."""
PRECISION = 34
"""Digits of what is worked out approximately; the last few may be wrong and are not shown."""

_MOST_BITS = int(MOST_DIGITS * math.log2(10))
CONTEXT = decimal.Context(
    prec=PRECISION,
    Emax=MOST_DIGITS,
    Emin=-MOST_DIGITS,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow, decimal.Underflow],
)
"""What is no fraction is worked out under it; its flag ``Inexact`` then says whether any digit was lost on the way."""
_PI = Fraction("3.1415926535897932384626433832795028841971693993751")
_E = Fraction("2.7182818284590452353602874713526624977572470937000")


class ArithmeticProblem(Exception):
    """The text cannot be worked out; the message says why, in words for whoever wrote it."""


TOO_LARGE = f"the result is too large: more than {MOST_DIGITS} digits"
TOO_SMALL = f"the result is too small: more than {MOST_DIGITS} zeros behind the point"


def bounded(value: Fraction) -> Fraction:
    """``value``, its fraction shortened when it has grown too long. Raises when it is too large."""
    if value.numerator.bit_length() - value.denominator.bit_length() > _MOST_BITS:
        raise ArithmeticProblem(TOO_LARGE)
    if value.denominator.bit_length() > _MOST_BITS:
        return Fraction(approximate(value))
    return value


def approximate(value: Fraction) -> Decimal:
    """``value`` to :data:`PRECISION` digits."""
    return Decimal(value.numerator) / Decimal(value.denominator)


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """``base`` to the power of ``exponent``, worked out only once it is known not to be too large."""
    if base == 0 and exponent < 0:
        raise ZeroDivisionError
    if exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(exponent.numerator)
        if bits <= 2 * _MOST_BITS or abs(base) in (0, 1):
            return Fraction(base ** (exponent.numerator % 2 if abs(base) == 1 else exponent.numerator))
    elif base < 0:
        raise ArithmeticProblem("a fractional power of a negative number has no real value")
    return Fraction(approximate(base) ** approximate(exponent))


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of one or more numbers."""

    call: Callable[..., Fraction]
    least: int = 1
    most: int = 1


def called(name: str, arguments: list[Fraction]) -> Fraction:
    """The function of that name, at ``arguments``. Raises :class:`ArithmeticProblem`."""
    function = FUNCTIONS[name]
    if not function.least <= len(arguments) <= function.most:
        wanted = str(function.least) if function.least == function.most else f"{function.least} to {function.most}"
        raise ArithmeticProblem(f"{name} takes {wanted} numbers, not {len(arguments)}")
    try:
        return bounded(function.call(*arguments))
    except (ValueError, OverflowError) as error:
        raise ArithmeticProblem(f"{name} has no value there") from error


def _by_float(function: Callable[[float], float]) -> _Function:
    """To 15 places, which is what a float can hold: so ``sin(pi)`` is 0."""

    def rounded(x: Fraction) -> Fraction:
        decimal.getcontext().flags[decimal.Inexact] = x != 0 or decimal.getcontext().flags[decimal.Inexact]
        return Fraction(str(round(function(float(x)), 15)))

    return _Function(rounded)


def _root(x: Fraction) -> Fraction:
    if x < 0:
        raise ArithmeticProblem("the square root of a negative number has no real value")
    over, under = math.isqrt(x.numerator), math.isqrt(x.denominator)
    if over * over == x.numerator and under * under == x.denominator:
        return Fraction(over, under)
    return Fraction(approximate(x).sqrt())


def _log(x: Fraction, base: Fraction = _E) -> Fraction:
    if x <= 0 or base <= 0 or base == 1:
        raise ArithmeticProblem("a logarithm is of a positive number, to a positive base other than 1")
    if base == 10:
        return Fraction(approximate(x).log10())
    if base == _E:
        return Fraction(approximate(x).ln())
    with decimal.localcontext():  # whose flags are its own
        nearest = round(approximate(x).ln() / approximate(base).ln())
    if abs(nearest) <= _MOST_BITS and power(base, Fraction(nearest)) == x:
        return Fraction(nearest)
    return Fraction(approximate(x).ln() / approximate(base).ln())


def _round(x: Fraction, places: Fraction = Fraction()) -> Fraction:
    """Halves away from zero, as people round, not to the even neighbour."""
    unit = Fraction(10) ** -_whole(places, MOST_DIGITS)
    whole = math.floor(abs(x) / unit + Fraction(1, 2)) * unit
    return whole if x >= 0 else -whole


def _whole(x: Fraction, most: int) -> int:
    if x.denominator != 1 or abs(x) > most:
        raise ArithmeticProblem(f"a whole number of at most {most} is wanted there")
    return x.numerator


def _factorial(x: Fraction) -> Fraction:
    return Fraction(math.factorial(_whole(x, 450)))  # 450! has just over 1000 digits


def _comb(n: Fraction, k: Fraction) -> Fraction:
    return Fraction(math.comb(_whole(n, 3000), _whole(k, 3000)))


CONSTANTS = {"pi": _PI, "e": _E, "tau": 2 * _PI}
FUNCTIONS = {
    "abs": _Function(abs),
    "round": _Function(_round, 1, 2),
    "floor": _Function(lambda x: Fraction(math.floor(x))),
    "ceil": _Function(lambda x: Fraction(math.ceil(x))),
    "min": _Function(lambda *x: min(x), 1, 100),
    "max": _Function(lambda *x: max(x), 1, 100),
    "sum": _Function(lambda *x: sum(x, Fraction()), 1, 500),
    "sqrt": _Function(_root),
    "exp": _Function(lambda x: Fraction(approximate(x).exp())),
    "ln": _Function(_log),
    "log": _Function(_log, 1, 2),
    "log2": _Function(lambda x: _log(x, Fraction(2))),
    "log10": _Function(lambda x: _log(x, Fraction(10))),
    "sin": _by_float(math.sin),
    "cos": _by_float(math.cos),
    "tan": _by_float(math.tan),
    "asin": _by_float(math.asin),
    "acos": _by_float(math.acos),
    "atan": _by_float(math.atan),
    "degrees": _Function(lambda x: x * 180 / _PI),
    "radians": _Function(lambda x: x * _PI / 180),
    "factorial": _Function(_factorial),
    "comb": _Function(_comb, 2, 2),
    "gcd": _Function(lambda a, b: Fraction(math.gcd(_whole(a, 10**MOST_DIGITS), _whole(b, 10**MOST_DIGITS))), 2, 2),
}
