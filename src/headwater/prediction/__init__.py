"""What a network's weights and activations let one expect before any data: :func:`predict`."""

from headwater.prediction.predict import predict as predict
