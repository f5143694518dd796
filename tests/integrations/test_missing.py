"""What is not installed is named, with the command that brings it; nothing else of headwater needs it."""

import json

from tests.helpers import python

FRAMEWORKS = {
    "transformers": "transformers",
    "lightning": "pytorch_lightning",
    "keras": "keras",
    "skorch": "skorch",
    "ignite": "ignite",
}
LOGGERS = {"wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio", "comet": "comet_ml"}

CODE = """
import json, sys
from importlib import import_module
from pathlib import Path
frameworks, loggers = json.loads('%s')
for name in [*frameworks.values(), *loggers.values(), "lightning", "accelerate", "tensorboard"]:
    sys.modules[name] = None  # which is how Python says that there is none
import headwater as hw
from headwater.integrations import log_to
said = {}
for name in frameworks:
    try:
        import_module(f"headwater.integrations.{name}")
    except ImportError as error:
        said[name] = [str(error), isinstance(error, hw.InputError)]
for name, target in {**{name: name for name in loggers}, "tensorboard": Path("logs")}.items():
    try:
        log_to(target)
    except ImportError as error:
        said[name] = [str(error), isinstance(error, hw.InputError)]
import headwater.integrations.accelerate, headwater.integrations.fabric  # which need nothing until they are called
print(json.dumps(said))
"""


def test_each_error_names_the_install_command() -> None:
    said = json.loads(python(CODE % json.dumps([FRAMEWORKS, LOGGERS])))
    assert said.keys() == {*FRAMEWORKS, *LOGGERS, "tensorboard"}
    for name, (message, is_input_error) in said.items():
        assert f'pip install "headwater[{name}]"' in message
        assert f"headwater.integrations.{name} needs" in message
        assert is_input_error
