"""Rules for every event before it is stored, one of each phase: structure, data from outside, business.

headrace serve --module examples.chain --documents docs

The log is what a run goes on from: what is changed here is changed for the agents as well, not only for readers.
"""

import re
from dataclasses import replace

from runtime.events.catalog import CitationAdded
from runtime.events.envelope import Draft
from runtime.stream.chain import enrich, process, transform

OWNERS = {"refund": "Support", "incident": "Operations"}
"""Stands for a table elsewhere: a database, a service."""
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")


@transform("object")
def one_line_quotes(draft: Draft) -> Draft:
    """A quote keeps its words and loses its line breaks. Pure: the same event always becomes the same."""
    event = draft.event
    if not isinstance(event, CitationAdded):
        return draft
    return replace(draft, event=event.model_copy(update={"quote": " ".join(event.quote.split())}))


@enrich("object")
async def add_owner(draft: Draft) -> Draft:
    """A cited document's title says who looks after it; when the table cannot be read, the event passes as it is."""
    event = draft.event
    if not isinstance(event, CitationAdded):
        return draft
    owner = next((owner for word, owner in OWNERS.items() if word in event.location), None)
    title = event.title if owner is None else f"{event.title} ({owner})"
    return replace(draft, event=event.model_copy(update={"title": title}))


@process("error")
def no_addresses_in_errors(draft: Draft) -> Draft:
    """No error is stored with somebody's e-mail address in its message; to return None would withhold the event."""
    message = getattr(draft.event, "message", None)
    if not isinstance(message, str):
        return draft
    return replace(draft, event=draft.event.model_copy(update={"message": ADDRESS.sub("(address)", message)}))
