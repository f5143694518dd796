"""What a plugin's author runs in their own tests: each function fails with a sentence that says what is promised.

Our own rules, remedies, lessons and loggers pass the same ones. The plugin has to be installed (``pip install -e .``),
so that its entry points and its texts are found.
"""

from headwater.testing.lesson import check_lesson as check_lesson
from headwater.testing.logger import check_logger as check_logger
from headwater.testing.remedy import check_remedy as check_remedy
from headwater.testing.rule import check_rule as check_rule
