"""Keras 3 on torch, watched: one callback, and nothing else changes.

Install what it needs with `pip install "headwater[keras]"`.

Fifteen layers of sigmoid, whose gradient vanishes on its way; the callback says so, and what to do.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np

from headwater.integrations.keras import HeadwaterCallback


def main() -> None:
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((1024, 8)).astype("float32")
    hidden = [keras.layers.Dense(32, activation="sigmoid", name=f"hidden{number}") for number in range(15)]
    model = keras.Sequential([keras.Input((8,)), *hidden, keras.layers.Dense(2, name="head")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss)
    callback = HeadwaterCallback(every=2)
    model.fit(x, x[:, 0] > 0, batch_size=64, epochs=2, verbose=0, callbacks=[callback])
    print(callback.report())


if __name__ == "__main__":
    main()
