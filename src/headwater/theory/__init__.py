"""What is known before any data: activations, Gaussian expectations, gains. Numpy and scipy only."""

from headwater.theory.activation import Activation as Activation
from headwater.theory.activations import ACTIVATIONS as ACTIVATIONS
from headwater.theory.activations import of_function as of_function
from headwater.theory.activations import of_module as of_module
from headwater.theory.gains import gain_backward as gain_backward
from headwater.theory.gains import gain_forward as gain_forward
