"""What is done to the weights of recurrent layers. Copied into patches as it stands: torch is all it needs."""

import torch


def open_forget_gates(layer, bias):
    """Let the forget gates of an LSTM start at σ(bias); its two biases are added, so one of them is zero there."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith("bias"):
                units = parameter.shape[0] // 4  # torch.nn.LSTM: input, forget, cell, output
                parameter[units : 2 * units] = bias if name.startswith("bias_ih") else 0.0


def draw_orthogonal_gates(layer, generator):
    """Draw the weights from the last state orthogonal, gate by gate; on the CPU, the same on every device."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith("weight_hh"):
                for gate in parameter.split(layer.hidden_size):
                    drawn = torch.empty(gate.shape, dtype=torch.float64)
                    gate.copy_(torch.nn.init.orthogonal_(drawn, generator=generator))
