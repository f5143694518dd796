"""A run as a page: what it showed step by step, told in both languages, in a form that a browser reads."""

from headwater.report.view.course import Course as Course
from headwater.report.view.course import Line as Line
from headwater.report.view.page import offline_page as offline_page
from headwater.report.view.payload import REPORT_BYTES as REPORT_BYTES
from headwater.report.view.payload import View as View
from headwater.report.view.payload import view_of as view_of
