"""Watch a training loop that somebody else runs, without changing it."""

from headwater.watching.begin import watch as watch
from headwater.watching.happenings import ALARMS as ALARMS
from headwater.watching.watcher import Every as Every
from headwater.watching.watcher import Watch as Watch
