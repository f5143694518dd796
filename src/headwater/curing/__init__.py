"""From a report to a cure: what could help, which of it does, and whether that is proven."""

from headwater.curing.cure import Wish as Wish
from headwater.curing.cure import cured as cured
from headwater.curing.cure import has_healed as has_healed
from headwater.curing.cure import needs_training as needs_training
from headwater.curing.cure import untreated as untreated
