"""One payload, many faces: what was found, as terminal text, JSON, an HTML page and a notebook cell."""

from headwater.report.cure import Cure as Cure
from headwater.report.payload import Report as Report
from headwater.report.prediction import Prediction as Prediction
from headwater.report.proving import ProofReport as ProofReport
from headwater.report.trace import Trace as Trace
