"""For the tests of whoever builds on Headrace: models that play a script or a recording, runs in process, and their events.

Rules: nothing of the system imports it; it is composition, as ``bootstrap`` is. It needs no Ray, no network and no key.
How to use it: ``docs/testing.md``.
"""

from runtime.testing.events import RunEvents as RunEvents
from runtime.testing.replay import recording as recording
from runtime.testing.replay import replaying as replaying
from runtime.testing.run import ask as ask
from runtime.testing.scripted import answers as answers
from runtime.testing.scripted import calls as calls
from runtime.testing.scripted import fails as fails
from runtime.testing.scripted import plans as plans
from runtime.testing.scripted import says as says
from runtime.testing.scripted import scripted as scripted
