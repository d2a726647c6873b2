"""Sums are exact, bounded in time, and no way to run code."""

from __future__ import annotations

import time
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.clock import ManualClock
from runtime.tools.arithmetic import MOST_CHARACTERS, calculate
from runtime.tools.arithmetic_numbers import MOST_DIGITS, ArithmeticProblem
from runtime.tools.calculate import calculate as calculator
from runtime.tools.invoke import LocalToolRunner
from runtime.tools.tool import ToolContext


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1 + 0.2", "0.3"),
        ("1/3*3", "1"),
        ("1/3", "0.3333333333333333333333333333 (rounded)"),
        ("10 / 4", "2.5"),
        ("7 // 2", "3"),
        ("-7 % 3", "2"),
        ("2 ** 10", "1024"),
        ("2 ** -1", "0.5"),
        ("2 ** 3 ** 2", "512"),
        ("-2 ** 2", "-4"),
        ("(1249.90 - 999) / 999 * 100", "25.11511511511511511511511512 (rounded)"),
        ("3 × 4 − 10 ÷ 5", "10"),
        ("1_000 * 2", "2000"),
        ("1.10", "1.1"),
        ("123456789.123456789 * 1000000000", "123456789123456789"),
        ("sqrt(16)", "4"),
        ("sqrt(2)", "1.414213562373095048801688724 (rounded)"),
        ("2 ** 0.5", "1.414213562373095048801688724 (rounded)"),
        ("sin(0)", "0"),
        ("sin(pi / 6)", "0.5 (rounded)"),
        ("log(8, 2)", "3"),
        ("log10(1000)", "3"),
        ("ln(e)", "1 (rounded)"),
        ("exp(1)", "2.718281828459045235360287471 (rounded)"),
        ("round(2.675, 2)", "2.68"),
        ("round(-0.5)", "-1"),
        ("round(1250, -2)", "1300"),
        ("floor(-1.5) + ceil(1.2)", "0"),
        ("max(1, 2.5) - min(3, 4)", "-0.5"),
        ("sum(0.1, 0.1, 0.1)", "0.3"),
        ("factorial(20)", "2432902008176640000"),
        ("comb(49, 6)", "13983816"),
        ("gcd(12, 18)", "6"),
        ("1000 * (1 + 0.05 / 12) ** 360", "4467.74431400613221242807011 (rounded)"),
        ("1.1 ** 5000", "9.192333899070653295783305861E+206 (rounded)"),
        ("0x10 + 0b11", "19"),
        (" + ".join(["1"] * 500), "500"),
    ],
)
def test_what_a_person_expects(text: str, value: str) -> None:
    assert calculate(text) == value


HOSTILE = [
    "9**9**9", "9**9**9**9**9", "(9**9)**9**9", "10**1001", "factorial(10**9)", "comb(10**9, 5*10**8)", "2**10**18",
    "1e999999999", "1e-999999999", "1e999*1e999", "1e-999*1e-999", "2**-5000", "exp(10**9)", "exp(-10**9)", "(1.5)**1e18",
    "9" * 1500, "9" * 5000, "1." + "9" * 3000, "(" * 300 + "1" + ")" * 300, "-" * 1500 + "1", "~" * 500 + "1",
    "factorial(400)*factorial(400)*factorial(400)", "round(1, 10**9)", "gcd(10**2000, 2)", "0.1**5000",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:30])
def test_nothing_keeps_the_processor_busy(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(ArithmeticProblem):
        calculate(text)
    assert time.process_time() - begun < 0.2, "microseconds, with room for a busy machine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,000 + 1", "write 1000, not 1,000"),
        ("2^3", "write a power with **"),
        ("1/0", "division by zero"),
        ("0**-1", "division by zero"),
        ("1 % 0", "division by zero"),
        ("sqrt(-1)", "no real value"),
        ("(-8) ** (1/3)", "no real value"),
        ("asin(2)", "asin has no value there"),
        ("ln(0)", "a positive number"),
        ("price * 2", "'price' is not known"),
        ("round(1, 2, 3)", "round takes 1 to 2 numbers, not 3"),
        ("round(1, 0.5)", "a whole number"),
        ("2 +", "no arithmetic expression"),
        ("5!", "no arithmetic expression"),
        ("1\x00", "no arithmetic expression"),
        ("1" * (MOST_CHARACTERS + 1), "longer than"),
    ],
)
def test_a_mistake_is_told_in_words_that_help(text: str, words: str) -> None:
    with pytest.raises(ArithmeticProblem) as caught:
        calculate(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__.__bases__",
        "(1).real",
        "open('/etc/passwd')",
        "[1][0]",
        "{1: 2}[1]",
        "[x for x in (1, 2)]",
        "lambda: 1",
        "1 if 1 else 2",
        "1 < 2",
        "1 and 2",
        "1 | 2",
        "1 << 2",
        "1 @ 2",
        "not 1",
        "(x := 1)",
        "f'{1}'",
        "'a' * 3",
        "b'a' * 3",
        "True + 1",
        "None",
        "...",
        "1j",
        "max(*(1, 2))",
        "round(x=1)",
        "max",
        "pi()",
        "import os",
        "1; 2",
    ],
)
def test_only_arithmetic_is_understood(text: str) -> None:
    with pytest.raises(ArithmeticProblem):
        calculate(text)


@given(st.text("0123456789.+-*/%() ,episqrtln_^e", max_size=60))
def test_any_text_is_a_number_or_a_problem(text: str) -> None:
    with suppress(ArithmeticProblem):
        value = calculate(text)
        assert Decimal(value.removesuffix(" (rounded)")).is_finite()
        assert len(value) <= MOST_DIGITS + 20


@given(st.decimals(-(10**12), 10**12, places=6), st.decimals(-(10**12), 10**12, places=6))
def test_sums_and_products_of_decimals_are_exact(a: Decimal, b: Decimal) -> None:
    assert Decimal(calculate(f"({a:f}) + ({b:f})")) == a + b
    assert calculate(f"({a:f}) * ({b:f}) - ({b:f}) * ({a:f})") == "0"


async def test_tool_tells_the_model_what_is_wrong() -> None:
    runner = LocalToolRunner(ManualClock())
    context = ToolContext("run-1", "s")
    done = await runner.run(calculator, {"expression": "6 * 7"}, context)
    assert (done.text, done.is_error) == ("42", False)
    done = await runner.run(calculator, {"expression": "9**9**9"}, context)
    assert done.is_error
    assert "too large" in done.text
