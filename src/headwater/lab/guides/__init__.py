"""The guided pages, by lesson, in the order the lectures tell their story.

Numbers in their texts and goals are what these very networks show (``tests/lab/test_guides.py`` runs them).
"""

from __future__ import annotations

from headwater.lab.guide import Guide
from headwater.lab.guides.activations import ACTIVATIONS
from headwater.lab.guides.gradients import GRADIENTS
from headwater.lab.guides.initialisation import INITIALISATION
from headwater.lab.guides.networks import NETWORKS
from headwater.lab.guides.training import TRAINING

_ALL = (*NETWORKS, *GRADIENTS, *ACTIVATIONS, *INITIALISATION, *TRAINING)
GUIDES: dict[str, Guide] = {guide.lesson: guide for guide in _ALL}
