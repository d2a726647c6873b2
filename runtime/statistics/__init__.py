"""Statistics: a view of the log, for people who run the system.

Rules of this room: pure. ``folding`` makes a few figures of one run's events, ``assemble`` puts many runs' figures together
into a ``report``. No store, no clock, no HTTP: the door (``GET /v1/statistics``) reads, the command line and the page show.
"""

from runtime.statistics.assemble import Window as Window
from runtime.statistics.assemble import assemble as assemble
from runtime.statistics.counting import Seen as Seen
from runtime.statistics.facts import RunFacts as RunFacts
from runtime.statistics.folding import COUNTED as COUNTED
from runtime.statistics.folding import Folding as Folding
from runtime.statistics.folding import facts_of as facts_of
from runtime.statistics.report import DayCost as DayCost
from runtime.statistics.report import Report as Report
from runtime.statistics.report import RunUnderWay as RunUnderWay
