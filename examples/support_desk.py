"""A support desk: an agent that looks up orders, and pays money back once a person has agreed.

headrace serve --model scripted --script examples/support_desk.toml --module examples.support_desk
headrace ask "My lamp of order A-17 is broken. Can I have my money back?"
"""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from runtime.agents.spec import AgentSpec
from runtime.errors import ToolFailed
from runtime.tools.tool import ToolContext, tool

ORDERS = {"A-17": {"item": "lamp", "paid_cents": 4900, "customer": "ada@example.com"}}
"""Stands for the shop's database."""

OrderId = Annotated[str, Field(pattern=r"^[A-Z]-\d+$", description="As on the receipt, such as A-17.")]


@tool(icon="📦", untrusted=False)
def look_up_order(order: OrderId) -> dict[str, object]:
    """Look up an order: what was bought, what was paid, and by whom."""
    if order not in ORDERS:
        raise ToolFailed(f"there is no order {order}")
    return ORDERS[order]


@tool(icon="💶", kind="at_most_once", untrusted=False, needs_approval=True)
def refund(order: OrderId, cents: Annotated[int, Field(gt=0)], context: ToolContext) -> str:
    """Pay money back to the customer of an order. It cannot be undone."""
    if order not in ORDERS or cents > int(str(ORDERS[order]["paid_cents"])):
        raise ToolFailed(f"order {order} was not paid with {cents} cents or more")
    payment = {"order": order, "cents": cents, "key": context.idempotency_key}
    with (Path(context.data_dir) / "refunds.jsonl").open("a") as ledger:  # stands for the bank
        ledger.write(json.dumps(payment) + "\n")
    return f"{cents / 100:.2f} euros were paid back for order {order}"


DESK = AgentSpec(
    name="desk",
    description="Looks up orders and pays money back for what was broken.",
    instructions="Look the order up first. Refund what was paid only when the customer says that the item is broken. "
    "If nobody agreed to the refund, say so and do not try again.",
    tools=("look_up_order", "refund"),
    max_tool_calls=5,
)
