"""The pictures of a report, each with its one-sentence summary."""

from headwater.report.charts.flow import flow_picture as flow_picture
from headwater.report.charts.proof import effect_picture as effect_picture
from headwater.report.charts.proof import loss_picture as loss_picture
from headwater.report.charts.proof import measure_picture as measure_picture
from headwater.report.charts.proof import metric_picture as metric_picture
from headwater.report.charts.waterfall import waterfall_picture as waterfall_picture
