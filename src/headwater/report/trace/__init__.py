"""The faces of a trace: terminal, JSON, one offline page."""

from headwater.report.trace.payload import Trace as Trace
