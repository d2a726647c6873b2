"""A planner of one's own takes the place of the built-in one: an agent of the same name with the role ``planning``.

headrace serve --model anthropic --module examples.planner

Its answer must be a plan, as the built-in one's; the offline engine plans by rules of its own and reads no instructions.
``builtin`` is imported whole: its PLANNER at this module's top level would be a second agent of that name.
"""

from runtime.agents import builtin

HOUSE_RULES = """
Rules of this house, over what is said above:
- Two todos at most: one for research, one for writing.
- The writing todo's title names who reads the answer: a customer of ours.
"""

PLANNER = builtin.PLANNER.model_copy(update={"instructions": builtin.PLANNER.instructions + HOUSE_RULES})
