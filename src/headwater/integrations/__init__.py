"""headwater in the frameworks and loggers that people use already: one small file each, which only adapts ``watch``.

A framework's file is imported by its name, ``from headwater.integrations.transformers import HeadwaterCallback``, and
needs that framework; :func:`log_to` needs none of them.
"""

from headwater.integrations.loggers import log_to as log_to
