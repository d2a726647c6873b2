"""The tool ``calculate``: language models reckon badly, and a wrong sum in an answer looks like any other."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from runtime.errors import ToolFailed
from runtime.tools import arithmetic
from runtime.tools.arithmetic_numbers import ArithmeticProblem
from runtime.tools.tool import tool

Expression = Annotated[
    str,
    Field(
        min_length=1,
        max_length=arithmetic.MOST_CHARACTERS,
        description="Numbers, + - * / // % **, parentheses, pi, e, and functions such as sqrt(2), round(x, 2), log10(x).",
    ),
]


@tool(title="Calculator", timeout_s=10.0, reads_private=False, untrusted=False)
async def calculate(expression: Expression) -> str:
    """Work out an arithmetic expression exactly, such as (1249.90 - 999) / 999 * 100. Use it for every sum that matters."""
    try:
        return arithmetic.calculate(expression)
    except ArithmeticProblem as error:
        raise ToolFailed(str(error)) from error
