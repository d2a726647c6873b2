"""Arithmetic as a person means it: exact, bounded, and no code.

A text is parsed to a syntax tree and the tree is walked; only what stands in the tables below is known. Numbers are fractions,
so ``0.1 + 0.2`` is ``0.3`` and ``1/3 * 3`` is ``1``. Every intermediate value is held below :data:`MOST_DIGITS` digits, and
a power is estimated before it is made, so no text keeps a processor busy.
"""

from __future__ import annotations

import ast
import decimal
from decimal import Decimal
from fractions import Fraction

from runtime.tools.arithmetic_numbers import (
    CONSTANTS,
    CONTEXT,
    FUNCTIONS,
    MOST_DIGITS,
    TOO_LARGE,
    TOO_SMALL,
    ArithmeticProblem,
    bounded,
    called,
    power,
)

MOST_CHARACTERS = 2000
MOST_DEPTH = 60
"""Of parentheses and signs inside one another; a long sum is not deep."""
SHOWN = 28
"""Digits of a result that is no whole number."""


def calculate(text: str) -> str:
    """The value of ``text``, as decimal digits; ``(rounded)`` behind it when these are not all. Raises :class:`ArithmeticProblem`."""
    plain = text.strip().translate(_SIGNS)
    try:
        with decimal.localcontext(CONTEXT) as context:
            context.clear_flags()
            value = _value(_parsed(plain), plain, 0)
            return _written(value, exact=not context.flags[decimal.Inexact])
    except ZeroDivisionError as error:
        raise ArithmeticProblem("division by zero") from error
    except decimal.Overflow as error:
        raise ArithmeticProblem(TOO_LARGE) from error
    except decimal.Underflow as error:
        raise ArithmeticProblem(TOO_SMALL) from error
    except decimal.DecimalException as error:
        raise ArithmeticProblem("this has no real value") from error


def _written(value: Fraction, *, exact: bool) -> str:
    """``value`` in decimal digits."""
    if exact and value.denominator == 1:
        return str(value.numerator)
    with decimal.localcontext(prec=SHOWN):
        digits = (Decimal(value.numerator) / Decimal(value.denominator)).normalize()
    plain = f"{digits:f}" if -20 <= digits.adjusted() < SHOWN else str(digits)
    return plain if exact and Fraction(digits) == value else f"{plain} (rounded)"


# --- from text to tree -----------------------------------------------------------------------------------------------


def _parsed(plain: str) -> ast.expr:
    if len(plain) > MOST_CHARACTERS:
        raise ArithmeticProblem(f"the expression is longer than {MOST_CHARACTERS} characters")
    if "^" in plain:
        raise ArithmeticProblem("write a power with **, not ^")
    try:
        return ast.parse(plain, mode="eval").body
    except SyntaxError as error:
        raise ArithmeticProblem(f"this is no arithmetic expression: {error.msg}") from error
    except (ValueError, MemoryError, RecursionError) as error:  # NUL, 5,000 digits, 10,000 parentheses
        raise ArithmeticProblem("this is no arithmetic expression, or its numbers are too long") from error


_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "\n": " "})


# --- from tree to value ----------------------------------------------------------------------------------------------


def _value(node: ast.expr, text: str, depth: int) -> Fraction:
    if depth > MOST_DEPTH:
        raise ArithmeticProblem(f"more than {MOST_DEPTH} parentheses or signs stand inside one another")
    rest: list[ast.BinOp] = []
    while isinstance(node, ast.BinOp):  # a long sum leans to the left: walked down without recursion
        rest.append(node)
        node = node.left
    value = _single(node, text, depth)
    for operation in reversed(rest):
        value = bounded(_applied(operation, value, _value(operation.right, text, depth + 1)))
    return value


def _single(node: ast.expr, text: str, depth: int) -> Fraction:
    match node:
        case ast.Constant(value=bool() | complex() | str() | bytes() | None):
            raise ArithmeticProblem("only numbers can be reckoned with")
        case ast.Constant(value=int(number)):
            return bounded(Fraction(number))
        case ast.Constant(value=float()):
            return _decimal_literal(ast.get_source_segment(text, node) or "")  # a float has lost digits
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name]
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, text, depth + 1)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, text, depth + 1)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return called(name, [_value(argument, text, depth + 1) for argument in arguments])
        case ast.Tuple():
            raise ArithmeticProblem("there is a comma in a number or between two; write 1000, not 1,000")
        case ast.Name(id=name) | ast.Call(func=ast.Name(id=name)):
            raise ArithmeticProblem(f"{name[:40]!r} is not known; there are: {', '.join([*CONSTANTS, *FUNCTIONS])}")
        case _:
            raise ArithmeticProblem("only numbers, + - * / // % **, parentheses and the known functions can be used")


def _decimal_literal(digits: str) -> Fraction:
    number = Decimal(digits.replace("_", ""))
    if abs(number.adjusted()) > MOST_DIGITS:
        raise ArithmeticProblem(TOO_LARGE if number.adjusted() > 0 else TOO_SMALL)
    return Fraction(number)


def _applied(operation: ast.BinOp, left: Fraction, right: Fraction) -> Fraction:
    match operation.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.FloorDiv():
            return Fraction(left // right)
        case ast.Mod():
            return left % right
        case ast.Pow():
            return power(left, right)
        case _:
            raise ArithmeticProblem("only + - * / // % ** are known between two numbers")
