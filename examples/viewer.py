"""A rule of what a viewer may see: e-mail addresses in tools' results are for support only. The log keeps them.

headrace serve --model scripted --script examples/support_desk.toml --module examples.support_desk --module examples.viewer
HEADRACE_VIEWER_ROLES='["support"]' headrace serve ...      shows them
"""

import re
from dataclasses import replace

from runtime.events.catalog import ToolCompleted
from runtime.events.envelope import Draft
from runtime.stream.view import Viewer, view

ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")


@view("object")
def mask_addresses(draft: Draft, viewer: Viewer) -> Draft | None:
    """None would hide the whole event; a rule that fails does."""
    event = draft.event
    if not isinstance(event, ToolCompleted) or "support" in viewer.roles:
        return draft
    return replace(draft, event=event.model_copy(update={"result": ADDRESS.sub("(hidden)", event.result)}))
