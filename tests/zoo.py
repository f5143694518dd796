"""Architectures as they are used in the field, small: what is promised of a check is tried on each of them."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils.checkpoint import checkpoint

from tests.cases import (
    CASES,
    Case,
    LSTMClassifier,
    PreNormTransformer,
    cross_entropy,
    images,
    plain_mlp,
    tokens,
    vectors,
)

VOCABULARY = 50


def _own_loss(model: Any, batch: Any) -> Tensor:
    loss: Tensor = model(**batch).loss
    return loss


def _hugging_face(
    id: str,
    family: str,
    task: str,
    batch: Callable[[], Any],
    loss: Callable[[Any, Any], Tensor] = _own_loss,
    **settings: Any,
) -> Case:
    """A model of Hugging Face with weights drawn by its own initialisation; nothing is downloaded."""

    def make() -> nn.Module:
        import transformers

        config = getattr(transformers, f"{family}Config")(**settings)
        model: nn.Module = getattr(transformers, f"{family}{task}")(config)
        return model.train()

    return Case(id, make, batch, loss)


def _text() -> Any:
    words = torch.randint(1, VOCABULARY, (4, 12))
    return {"input_ids": words, "attention_mask": torch.ones_like(words), "labels": words}


def _classified_text() -> Any:
    words = torch.randint(1, VOCABULARY, (4, 12))
    mask = (torch.arange(12) < torch.tensor([12, 9, 5, 12])[:, None]).long()
    return {"input_ids": words, "attention_mask": mask, "labels": torch.randint(3, (4,))}


def _translation() -> Any:
    return {"input_ids": torch.randint(1, VOCABULARY, (4, 9)), "labels": torch.randint(1, VOCABULARY, (4, 6))}


def _pictures() -> Any:
    return {"pixel_values": torch.randn(4, 3, 32, 32), "labels": torch.randint(3, (4,))}


def _spectrograms() -> Any:
    return {"input_features": torch.randn(2, 8, 32), "labels": torch.randint(1, VOCABULARY, (2, 6))}


def _waveforms() -> Any:
    return {"input_values": torch.randn(2, 800), "labels": torch.randint(3, (2,))}


def _captions() -> Any:
    words = torch.randint(3, VOCABULARY, (4, 12))
    return {"input_ids": words, "pixel_values": torch.randn(4, 3, 32, 32), "return_loss": True}


def _detected(model: Any, batch: Any) -> Tensor:
    out = model(**batch)
    return out.logits.square().mean() + out.pred_boxes.mean()


_NARROW = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
_WORDS = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_DECODER = {**_NARROW, **_WORDS, "max_position_embeddings": 32, "use_cache": False}
_LABELLED = {**_NARROW, "num_labels": 3}
_PATCHES = {"image_size": 32, "patch_size": 8}
_STAGES = {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
_ENCODER_AND_DECODER = {
    f"{side}_{part}": size
    for side in ("encoder", "decoder")
    for part, size in (("layers", 1), ("attention_heads", 4), ("ffn_dim", 48))
}

HUGGING_FACE = (
    _hugging_face("llama", "Llama", "ForCausalLM", _text, num_key_value_heads=2, **_DECODER),
    _hugging_face(
        "mixtral",
        "Mixtral",
        "ForCausalLM",
        _text,
        num_key_value_heads=2,
        num_local_experts=4,
        output_router_logits=True,
        **_DECODER,
    ),
    # Attention through low-rank latents; the first layer is dense, the second a mixture of experts.
    _hugging_face(
        "deepseek",
        "DeepseekV3",
        "ForCausalLM",
        _text,
        num_key_value_heads=4,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=2,
        topk_group=1,
        q_lora_rank=8,
        kv_lora_rank=8,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        moe_intermediate_size=16,
        first_k_dense_replace=1,
        **_DECODER,
    ),
    _hugging_face("bert", "Bert", "ForSequenceClassification", _classified_text, **_WORDS, **_LABELLED),
    _hugging_face(
        "t5",
        "T5",
        "ForConditionalGeneration",
        _translation,
        vocab_size=VOCABULARY,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
    ),
    _hugging_face("vit", "ViT", "ForImageClassification", _pictures, **_PATCHES, **_LABELLED),
    # Windows that shift by rolling, and patches merged between stages.
    _hugging_face(
        "swin",
        "Swin",
        "ForImageClassification",
        _pictures,
        image_size=32,
        patch_size=4,
        embed_dim=8,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        num_labels=3,
    ),
    # Two towers and a temperature.
    _hugging_face(
        "clip",
        "CLIP",
        "Model",
        _captions,
        text_config={**_NARROW, **_WORDS, "max_position_embeddings": 16},
        vision_config={**_NARROW, **_PATCHES},
        projection_dim=16,
    ),
    # A convolutional backbone below a transformer.
    _hugging_face(
        "detr",
        "Detr",
        "ForObjectDetection",
        lambda: {"pixel_values": torch.randn(2, 3, 64, 64)},
        _detected,
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone_config={"model_type": "resnet", "out_features": ["stage4"], **_STAGES},
        d_model=16,
        num_queries=5,
        **_ENCODER_AND_DECODER,
    ),
    _hugging_face("resnet", "ResNet", "ForImageClassification", _pictures, num_labels=3, **_STAGES),
    _hugging_face(
        "mamba", "Mamba", "ForCausalLM", _text, vocab_size=VOCABULARY, hidden_size=16, state_size=4, num_hidden_layers=2
    ),
    _hugging_face(
        "whisper",
        "Whisper",
        "ForConditionalGeneration",
        _spectrograms,
        num_mel_bins=8,
        d_model=32,
        max_source_positions=16,
        max_target_positions=16,
        decoder_start_token_id=1,
        **_WORDS,
        **_ENCODER_AND_DECODER,
    ),
    # Its positional convolution is weight-normed, and its masks of time steps come from numpy's random stream.
    _hugging_face(
        "wav2vec2",
        "Wav2Vec2",
        "ForSequenceClassification",
        _waveforms,
        conv_dim=[8, 8],
        conv_stride=[5, 4],
        conv_kernel=[10, 4],
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        mask_time_length=2,
        mask_time_prob=0.3,
        classifier_proj_size=8,
        **_LABELLED,
    ),
)


class GRUClassifier(nn.Module):
    """Two directions and two layers in one fused call; only the last states reach the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.gru = nn.GRU(8, 12, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        _, last = self.gru(self.embed(x))
        return self.head(torch.cat([last[-2], last[-1]], dim=1))


class LSTMCells(nn.Module):
    """Two stacked cells called once per time step; each gives a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.lower, self.upper = nn.LSTMCell(8, 8), nn.LSTMCell(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        below = above = None
        for step in self.embed(x).unbind(1):
            below = self.lower(step, below)
            above = self.upper(below[0], above)
        return self.head(above[0])


class PackedLSTM(nn.Module):
    """Sequences of several lengths, which the LSTM takes and gives packed."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(20, 8), nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embed(x), lengths, batch_first=True, enforce_sorted=False)
        states: PackedSequence
        states, (last, _) = self.lstm(packed)
        return self.head(last[-1]) + 0.1 * self.head(states.data).mean()


def _lengths() -> Any:
    x, y = tokens()
    return x, torch.randint(1, 7, (len(x),)), y


class UNet(nn.Module):
    """Down and up again, with skips concatenated and every ReLU in place."""

    def __init__(self) -> None:
        super().__init__()
        # Registered from the loss to the input, so that the order of registration is not that of execution.
        self.head = nn.Conv2d(8, 2, 1)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in (16, 8))
        self.merge = nn.ModuleList(self.block(2 * width, width) for width in (16, 8))
        self.middle = self.block(16, 32)
        self.down = nn.ModuleList([self.block(3, 8), self.block(8, 16)])
        self.pool = nn.MaxPool2d(2)

    @staticmethod
    def block(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.GroupNorm(2, outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = self.pool(x)
        x = self.middle(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
        return self.head(x)


def _segmented(samples: int = 4) -> Any:
    return torch.randn(samples, 3, 16, 16), torch.randint(2, (samples, 16, 16))


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut; one ReLU module in place, used twice, as torchvision writes it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += shortcut
        return self.relu(out)


class ResNet18(nn.Module):
    """ResNet-18, eight times narrower."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        blocks: list[nn.Module] = []
        for inputs, outputs, stride in ((8, 8, 1), (8, 16, 2), (16, 32, 2), (32, 64, 2)):
            blocks += [BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1)]
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, channels last, a layer scale, and a branch that is left out for some samples."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(width, width, 7, padding=3, groups=width), nn.LayerNorm(width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1e-2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.contract(F.gelu(self.expand(y)))
        keep = torch.rand(len(x), 1, 1, 1) < 0.8
        return x + y.permute(0, 3, 1, 2) * keep / 0.8


def _convnext() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 12, 2, stride=2),
        *(ConvNeXtBlock(12) for _ in range(3)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LayerNorm(12),
        nn.Linear(12, 3),
    )


class MixerBlock(nn.Module):
    """Mixes patches, then channels; the first works on a transposed view."""

    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.patches = nn.Sequential(nn.Linear(patches, 32), nn.GELU(), nn.Linear(32, patches))
        self.channels = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.patches(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norms[1](x))


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 16, 2, stride=2), nn.Linear(16, 3)
        self.blocks = nn.Sequential(*(MixerBlock(16, 16) for _ in range(2)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


class Seq2Seq(nn.Module):
    """``nn.Transformer`` with a causal mask and padding; its attention never calls the projection it owns."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.transformer = nn.Transformer(16, 2, 2, 2, 32, dropout=0.1, batch_first=True)
        self.head = nn.Linear(16, 20)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        padding = torch.zeros(source.shape, dtype=torch.bool)
        padding[0, -2:] = True
        y = self.transformer(
            self.embed(source),
            self.embed(target),
            tgt_mask=mask,
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
        return self.head(y)


def _seq2seq_loss(model: Any, batch: Any) -> Tensor:
    source, target = batch
    return F.cross_entropy(model(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten())


def _sentence_pairs() -> Any:
    return torch.randint(20, (8, 7)), torch.randint(20, (8, 6))


class Switch(nn.Module):
    """A mixture of experts whose router leaves some of them without a single token."""

    def __init__(self, experts: int = 6) -> None:
        super().__init__()
        self.stem, self.router = nn.Linear(8, 16), nn.Linear(16, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16)) for _ in range(experts)
        )
        self.head = nn.Linear(16, 3)
        with torch.no_grad():
            self.router.bias[-1] = -1e4  # no token ever goes to the last one

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        weight, chosen = self.router(x).softmax(-1).max(-1)
        mixed = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows = (chosen == index).nonzero().flatten()
            mixed = mixed.index_add(0, rows, weight[rows, None] * expert(x[rows]))
        return self.head(x + mixed)


class MessagePassing(nn.Module):
    """Messages on edges, summed over the edges that end in a node."""

    def __init__(self, nodes: int = 16, edges: int = 8) -> None:
        super().__init__()
        self.message = nn.Sequential(nn.Linear(2 * nodes + edges, 32), nn.ReLU(inplace=True), nn.Linear(32, nodes))
        self.update = nn.GRUCell(nodes, nodes)

    def forward(self, h: Tensor, links: Tensor, features: Tensor) -> Tensor:
        source, target = links
        messages = self.message(torch.cat([h[source], h[target], features], dim=-1))
        return self.update(torch.zeros_like(h).index_add_(0, target, messages), h)


class GraphNet(nn.Module):
    """Three rounds on one graph, the maximum over the nodes of each of its components by scatter."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes, self.edges = nn.Linear(5, 16), nn.Linear(3, 8)
        self.rounds = nn.ModuleList(MessagePassing() for _ in range(3))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor, links: Tensor, features: Tensor, graph: Tensor) -> Tensor:
        h, e = torch.tanh(self.nodes(x)), self.edges(features)
        for layer in self.rounds:
            h = layer(h, links, e)
        pooled = h.new_zeros(4, 16).scatter_reduce(0, graph[:, None].expand_as(h), h, "amax", include_self=False)
        return self.head(pooled)


def _graphs() -> Any:
    return torch.randn(40, 5), torch.randint(40, (2, 120)), torch.randn(120, 3), torch.arange(40) % 4


def _graph_loss(model: Any, batch: Any) -> Tensor:
    return F.cross_entropy(model(*batch), torch.tensor([0, 1, 2, 0]))


class SparseGCN(nn.Module):
    """Multiplies by an adjacency matrix that it keeps as a sparse buffer and hands to its layers."""

    class Layer(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)

        def forward(self, adjacency: Tensor, x: Tensor) -> Tensor:
            return torch.sparse.mm(adjacency, x @ self.weight)

    def __init__(self, nodes: int = 30) -> None:
        super().__init__()
        links = (torch.rand(nodes, nodes) < 0.2).float() + torch.eye(nodes)
        self.register_buffer("adjacency", (links / links.sum(1, keepdim=True)).to_sparse())
        self.first, self.second = SparseGCN.Layer(8, 16), SparseGCN.Layer(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.adjacency, torch.relu(self.first(self.adjacency, x)))


class TreeLSTM(nn.Module):
    """Calls itself on both halves, down to single words."""

    def __init__(self) -> None:
        super().__init__()
        self.leaf, self.gates = nn.Embedding(20, 8), nn.Linear(16, 24)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1:
            return self.leaf(x[:, 0])
        middle = x.shape[1] // 2
        both = torch.cat([self(x[:, :middle]), self(x[:, middle:])], dim=1)
        left, right, new = self.gates(both).chunk(3, dim=1)
        return torch.sigmoid(left) * both[:, :8] + torch.sigmoid(right) * both[:, 8:] + torch.tanh(new)


class VAE(nn.Module):
    """Draws its code in ``forward``; gives a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 16), nn.SiLU())
        self.mean, self.log_variance = nn.Linear(16, 4), nn.Linear(16, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        code = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return {"image": self.decoder(code), "mean": mean, "log_variance": log_variance}


def _evidence(model: Any, batch: Any) -> Tensor:
    out = model(batch[0])
    divergence = -0.5 * (1 + out["log_variance"] - out["mean"] ** 2 - out["log_variance"].exp()).sum(1).mean()
    return F.mse_loss(out["image"], batch[0]) + 0.1 * divergence


class ConvAutoencoder(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.PReLU(8),
            nn.Conv2d(8, 4, 3, stride=2, padding=1),
            nn.Hardswish(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(4, 8, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1),
            nn.Sigmoid(),
        )


class QuantizedAutoencoder(nn.Module):
    """A VQ-VAE: the nearest code forward, the gradient straight through."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = plain_mlp("relu", depth=2, outputs=4), plain_mlp("relu", depth=2, inputs=4)
        self.codes = nn.Embedding(16, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encoder(x)
        code = self.codes(torch.cdist(z, self.codes.weight).argmin(1))
        cost = F.mse_loss(code, z.detach()) + 0.25 * F.mse_loss(z, code.detach())
        return self.decoder(z + (code - z).detach()), cost


def _quantized_loss(model: Any, batch: Any) -> Tensor:
    logits, cost = model(batch[0])
    return F.cross_entropy(logits, batch[1]) + cost


def _generator() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Linear(16, 8), nn.Tanh())


def _discriminator() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(0.2, inplace=True), nn.Linear(16, 1))


class GAN(nn.Module):
    """Two networks with two losses.

    A check follows one loss, so a GAN is checked once per loss. That of the generator's step shows gradients in the
    discriminator too, which its optimizer would never use. In the discriminator's step the generator has none, and its
    sites say so: no gradient, not a gradient of zero. Where the discriminator alone is checked and the generator only
    feeds it, the weights beside the model are a gap, and their ``.grad`` is put back like the model's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = _generator(), _discriminator()


def _real_or_not(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def _generator_step(model: Any, batch: Any) -> Tensor:
    noise, _ = batch
    return _real_or_not(model.discriminator(model.generator(noise)), real=True)


def _discriminator_step(model: Any, batch: Any) -> Tensor:
    noise, real = batch
    fake = model.generator(noise).detach()
    return _real_or_not(model.discriminator(real), real=True) + _real_or_not(model.discriminator(fake), real=False)


def _both_steps(model: Any, batch: Any) -> Tensor:
    return _discriminator_step(model, batch) + _generator_step(model, batch)


def _noise_and_data() -> Any:
    return torch.randn(32, 4), torch.randn(32, 8)


def _generator_in_batch() -> Any:
    return _generator(), torch.randn(32, 4)


def _against_a_generator(model: Any, batch: Any) -> Tensor:
    generator, noise = batch
    return _real_or_not(model(generator(noise)), real=False)


def _gradient_penalty(model: Any, batch: Any) -> Tensor:
    """WGAN-GP: differentiates the discriminator inside the loss, and the result again."""
    noise, real = batch
    mixed = (0.5 * model.generator(noise).detach() + 0.5 * real).requires_grad_()
    score = model.discriminator(mixed)
    (slope,) = torch.autograd.grad(score.sum(), mixed, create_graph=True)
    return score.mean() + 10 * (slope.norm(dim=1) - 1).square().mean()


class ForceField(nn.Module):
    """Energies, and forces as their derivative taken inside ``forward``, as in molecular dynamics."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Linear(16, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        positions = positions.detach().requires_grad_()
        energy = self.energy(positions).sum((1, 2))
        (slope,) = torch.autograd.grad(energy.sum(), positions, create_graph=True)
        return energy, -slope


def _force_loss(model: Any, batch: Any) -> Tensor:
    energy, forces = model(batch[0])
    return F.mse_loss(energy, batch[1]) + F.mse_loss(forces, torch.zeros_like(forces))


def _forces_only(model: Any, batch: Any) -> Tensor:
    """The whole loss hangs on the derivative: weights get gradients before those of any output are known."""
    _, forces = model(batch[0])
    return forces.square().mean()


def _molecules() -> Any:
    return torch.randn(6, 5, 3), torch.randn(6)


def _burgers(model: Any, batch: Any) -> Tensor:
    """A physics-informed loss: the residual of u_t + u·u_x = 0.1·u_xx, two derivatives deep."""
    points = batch[0].detach().requires_grad_()
    u = model(points)
    (slope,) = torch.autograd.grad(u.sum(), points, create_graph=True)
    (curvature,) = torch.autograd.grad(slope[:, 0].sum(), points, create_graph=True)
    return (slope[:, 1:] + u * slope[:, :1] - 0.1 * curvature[:, :1]).square().mean() + F.mse_loss(u, batch[1])


def _maml(model: Any, batch: Any) -> Tensor:
    """One inner step on half of the batch, judged on the other half through the step itself."""
    (x, y), names = batch, dict(model.named_parameters())
    inner = F.cross_entropy(functional_call(model, names, (x[:32],)), y[:32])
    slopes = torch.autograd.grad(inner, list(names.values()), create_graph=True)
    adapted = {name: p - 0.1 * slope for (name, p), slope in zip(names.items(), slopes, strict=True)}
    return F.cross_entropy(functional_call(model, adapted, (x[32:],)), y[32:])


class Siamese(nn.Module):
    """One encoder, called once per side."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Linear(16, 4))

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder(left), self.encoder(right)


def _contrastive(model: Any, batch: Any) -> Tensor:
    left, right = model(batch[0], batch[0] + 0.1 * torch.randn_like(batch[0]))
    return F.cross_entropy(left @ right.T / 4, torch.arange(len(left)))


class BYOL(nn.Module):
    """A target encoder that follows the online one: moved in place inside ``forward``, run without a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.online, self.predictor = plain_mlp("relu", depth=2), nn.Linear(3, 3)
        self.target = plain_mlp("relu", depth=2).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.online.parameters(), strict=True):
                slow.lerp_(fast, 0.01)
            goal = self.target(x + 0.1 * torch.randn_like(x))
        return F.mse_loss(F.normalize(self.predictor(self.online(x)), dim=1), F.normalize(goal, dim=1))


class Distilled(nn.Module):
    """A student, and a frozen teacher that runs under inference mode."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher = plain_mlp("relu", depth=2), plain_mlp("relu").requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            goal = self.teacher(x)
        return F.kl_div(self.student(x).log_softmax(1), goal.clone().softmax(1), reduction="batchmean")


class HyperNetwork(nn.Module):
    """Writes the weights of another layer, which keeps unused ones of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.code, self.writer, self.written = nn.Parameter(torch.randn(4)), nn.Linear(4, 24), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return functional_call(self.written, {"weight": self.writer(self.code).view(3, 8)}, (x,))


class WeightTiedLoop(nn.Module):
    """One block run eight times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.norm = nn.Linear(8, 16), nn.Linear(16, 16), nn.LayerNorm(16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        z = torch.zeros_like(x)
        for _ in range(8):
            z = torch.tanh(self.norm(self.block(z) + x))
        return self.head(z)


class DEQ(nn.Module):
    """A fixed point found without a graph; its gradient comes from a linear system solved in a tensor hook."""

    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix, self.act = nn.Linear(16, 16), nn.Tanh()
            with torch.no_grad():
                self.mix.weight.mul_(0.5)

        def forward(self, z: Tensor, x: Tensor) -> Tensor:
            return self.act(self.mix(z) + x)

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cell, self.head = nn.Linear(8, 16), DEQ.Cell(), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        with torch.no_grad():
            z = torch.zeros_like(x)
            for _ in range(4):
                z = self.cell(z, x)
        z = self.cell(z, x)
        point = z.detach().requires_grad_()
        again = self.cell(point, x.detach())

        def solve(gradient: Tensor) -> Tensor:
            total = gradient
            for _ in range(4):
                (moved,) = torch.autograd.grad(again, point, total, retain_graph=True)
                total = moved + gradient
            return total

        z.register_hook(solve)
        return self.head(z)


class Checkpointed(nn.Module):
    """Blocks whose insides are computed again in the backward pass.

    A reentrant checkpoint runs them without a graph first: the gradient goes through tensors that are made in the
    backward pass.
    """

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.stem, self.head = nn.Linear(8, 16), nn.Linear(16, 3)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32), nn.GELU(), nn.Dropout(0.1), nn.Linear(32, 16))
            for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=self.reentrant)
        return self.head(x)


class _Couple(torch.autograd.Function):
    """A reversible pair of residual updates, whose backward pass computes its inputs from its outputs."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, f: nn.Module, g: nn.Module, *parameters: Tensor) -> Any:
        ctx.f, ctx.g, ctx.parameters = f, g, parameters
        with torch.no_grad():
            left = a + f(b)
            right = b + g(left)
        ctx.save_for_backward(left, right)
        return left, right

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        left, right = ctx.saved_tensors
        with torch.no_grad():
            b = right - ctx.g(left)
            a = left - ctx.f(b)
        a, b = a.requires_grad_(), b.requires_grad_()
        with torch.enable_grad():
            left = a + ctx.f(b)
            outputs = left, b + ctx.g(left)
        down = torch.autograd.grad(outputs, (a, b, *ctx.parameters), gradients)
        return down[0], down[1], None, None, *down[2:]


class RevNet(nn.Module):
    """Reversible blocks: the gradient goes through tensors made in the backward pass, as in a reentrant checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(8, 16), nn.Linear(16, 3)
        self.blocks = nn.ModuleList(
            nn.ModuleList(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU()) for _ in range(2))
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.stem(x).chunk(2, dim=1)
        for f, g in self.blocks:
            a, b = _Couple.apply(a, b, f, g, *f.parameters(), *g.parameters())
        return self.head(torch.cat([a, b], dim=1))


class WithCriterion(nn.Module):
    """Positions from a module that only hands out its parameter; the loss is a module of the model."""

    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.randn(6, 16))

        def forward(self) -> Tensor:
            return self.table

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.positions = nn.Embedding(20, 16), WithCriterion.Positions()
        self.body, self.criterion = plain_mlp("silu", inputs=16), nn.CrossEntropyLoss(label_smoothing=0.1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.criterion(self.body((self.embed(x) + self.positions()).mean(1)), y)


@dataclass
class Answer:
    logits: Tensor
    auxiliary: dict[str, Tensor | None]
    steps: int = 3


class Ragged(nn.Module):
    """Parts that give a dataclass, a dictionary with ``None`` in it, nested tuples, and nothing at all."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Parameter(torch.randn(8, 8) / 3), nn.Parameter(torch.randn(8, 8) / 3)

        def forward(self, x: Tensor) -> tuple[None, list[Any]]:
            return None, [3, (x @ self.left, {"right": x @ self.right})]

    class Silent(nn.Module):
        def forward(self, x: Tensor) -> None:
            return None

    class Indices(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.argmax(1)

    class Answering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8, 3) / 3)

        def forward(self, x: Tensor) -> Answer:
            return Answer(x @ self.weight, {"none": None, "norm": self.weight.norm()})

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.silent, self.indices = Ragged.Twice(), Ragged.Silent(), Ragged.Indices()
        self.answering = Ragged.Answering()

    def forward(self, x: Tensor) -> Answer:
        _, (_, (left, named)) = self.twice(x)
        self.silent(left)
        hidden = torch.relu(left + named["right"])
        self.indices(hidden)
        answer: Answer = self.answering(hidden)
        return answer


def _ragged_loss(model: Any, batch: Any) -> Tensor:
    answer = model(batch[0])
    return F.cross_entropy(answer.logits, batch[1]) + 0.01 * answer.auxiliary["norm"]


class KeywordTransformer(nn.Module):
    """Nothing by position, neither into the model nor into its parts."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
            self.norm, self.mlp = nn.LayerNorm(16), plain_mlp("gelu", depth=2, inputs=16, width=32, outputs=16)

        def forward(self, *, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
            mixed, _ = self.attention(query=hidden, key=hidden, value=hidden, attn_mask=mask)
            return hidden + self.mlp(input=self.norm(input=hidden + mixed))

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 16), nn.Linear(16, 3)
        self.blocks = nn.ModuleList(KeywordTransformer.Block() for _ in range(2))

    def forward(self, *, words: Tensor) -> Tensor:
        x = self.embed(input=words)
        for block in self.blocks:
            x = block(hidden=x, mask=None)
        return self.head(input=x.mean(1))


def _spectral_cnn() -> nn.Module:
    """A discriminator as spectral normalisation was made for; weight norm on the layer behind it."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise((3, 8, 16)):
        conv = parametrizations.spectral_norm(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1))
        layers += [conv, nn.LeakyReLU(0.1, inplace=True)]
    return nn.Sequential(*layers, nn.Flatten(), parametrizations.weight_norm(nn.Linear(64, 3)))


def _orthogonal_rnn() -> nn.Module:
    """Recurrent weights held orthogonal."""
    model = LSTMClassifier()
    parametrizations.orthogonal(model.lstm, "weight_hh_l0")
    return model


def _hooked() -> nn.Module:
    """Hooks of the user's own that change an input, an output and a gradient, as adapters and steering set them."""
    model = plain_mlp("tanh", depth=4)
    model[2].register_forward_hook(lambda module, args, output: 1.5 * output)
    model[4].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    model[4].register_full_backward_hook(lambda module, inputs, outputs: (2 * inputs[0],))
    return model


def _pruned() -> nn.Module:
    """Masked weights: before each call a hook makes ``weight`` anew from ``weight_orig``."""
    model = plain_mlp("relu", depth=3)
    for layer in (model[0], model[2]):
        prune.random_unstructured(layer, "weight", amount=0.5)
    return model


def _bounded_embedding() -> nn.Module:
    """``max_norm`` shortens the rows that are looked up, in place, in ``forward``."""
    return nn.Sequential(nn.Embedding(20, 8, max_norm=1.0), nn.Flatten(), nn.Linear(48, 3))


class Recommender(nn.Module):
    """Sparse gradients of two embeddings, one of them looked up in bags."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.items = nn.Embedding(20, 8, sparse=True), nn.EmbeddingBag(20, 8, mode="sum", sparse=True)
        self.head = plain_mlp("relu", depth=2, inputs=16)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([self.user(x[:, 0]), self.items(x[:, 1:])], dim=1))


class FourierLayer(nn.Module):
    """Complex weights on the lowest frequencies, beside a pointwise convolution."""

    def __init__(self, width: int, modes: int) -> None:
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(torch.randn(width, width, modes, dtype=torch.cfloat) / width)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(x)
        kept = torch.zeros_like(spectrum)
        kept[..., : self.modes] = torch.einsum("bif,iof->bof", spectrum[..., : self.modes], self.weight)
        return torch.fft.irfft(kept, n=x.shape[-1])


class FourierOperator(nn.Module):
    """A neural operator whose stem is complex from end to end."""

    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.fft.fft(x)

    def __init__(self) -> None:
        super().__init__()
        self.spectrum, self.mix = FourierOperator.Spectrum(), nn.Linear(16, 16, dtype=torch.cfloat)
        self.lift = nn.Conv1d(1, 6, 1)
        self.layers = nn.ModuleList(FourierLayer(6, 5) for _ in range(2))
        self.skips = nn.ModuleList(nn.Conv1d(6, 6, 1) for _ in range(2))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lift(self.mix(self.spectrum(x)).abs()[:, None])
        for layer, skip in zip(self.layers, self.skips, strict=True):
            x = F.gelu(layer(x) + skip(x))
        return self.head(x.mean(-1))


class SameTensor(nn.Module):
    """A leaf that returns its own input when it has nothing to do, and a module registered under two names."""

    class Maybe(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.second = self.first
        self.maybe, self.dropout, self.head = SameTensor.Maybe(), nn.Dropout(0.0), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(torch.tanh(self.second(self.maybe(torch.tanh(self.first(x)))))))


def _sharpness_aware(model: Any, batch: Any) -> Tensor:
    """SAM: the loss at weights moved uphill, in place, along a gradient taken inside the loss."""
    parameters = list(model.parameters())
    uphill = torch.autograd.grad(cross_entropy(model, batch), parameters)
    with torch.no_grad():
        for parameter, slope in zip(parameters, uphill, strict=True):
            parameter.add_(slope, alpha=0.05)
    return cross_entropy(model, batch)


def _in_autocast(model: Any, batch: Any) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return F.cross_entropy(model(batch[0]), batch[1])


def _scaled(model: Any, batch: Any) -> Tensor:
    """As a gradient scaler does; unscaling is the optimizer's part."""
    return cross_entropy(model, batch) * 1024


_OWN = (
    CASES["gpt2"],
    CASES["lstm"],
    CASES["cell-loop"],
    Case("gru-bidirectional", GRUClassifier, tokens, cross_entropy),
    Case("lstm-cells", LSTMCells, tokens, cross_entropy),
    Case("lstm-packed", PackedLSTM, _lengths, lambda m, b: F.cross_entropy(m(b[0], b[1]), b[2])),
    Case("unet", UNet, _segmented, cross_entropy),
    Case("resnet18", ResNet18, images, cross_entropy),
    Case("resnet18-eval", lambda: ResNet18().eval(), images, cross_entropy),
    Case("convnext", _convnext, images, cross_entropy),
    Case("mlp-mixer", Mixer, images, cross_entropy),
    Case("transformer", Seq2Seq, _sentence_pairs, _seq2seq_loss),
    Case("transformer-eval", lambda: Seq2Seq().eval(), _sentence_pairs, _seq2seq_loss),
    Case("switch", Switch, vectors, cross_entropy),
    Case("graph", GraphNet, _graphs, _graph_loss),
    Case("gcn-sparse", SparseGCN, lambda: (torch.randn(30, 8), torch.randint(3, (30,))), cross_entropy),
    Case("tree-lstm", lambda: nn.Sequential(TreeLSTM(), nn.Linear(8, 3)), tokens, cross_entropy),
    CASES["autoencoder"],
    Case("autoencoder-conv", ConvAutoencoder, images, lambda m, b: F.mse_loss(m(b[0]), b[0])),
    Case("vae", VAE, vectors, _evidence),
    Case("vq-vae", QuantizedAutoencoder, vectors, _quantized_loss),
    Case("gan-generator-step", GAN, _noise_and_data, _generator_step),
    Case("gan-discriminator-step", GAN, _noise_and_data, _discriminator_step),
    Case("gan-both-steps", GAN, _noise_and_data, _both_steps),
    Case("gan-discriminator-alone", _discriminator, _generator_in_batch, _against_a_generator),
    Case("gan-gradient-penalty", GAN, _noise_and_data, _gradient_penalty),
    Case("force-field", ForceField, _molecules, _force_loss),
    Case("force-field-forces-only", ForceField, _molecules, _forces_only),
    Case(
        "pinn",
        lambda: plain_mlp("tanh", depth=4, inputs=2, outputs=1),
        lambda: (torch.rand(64, 2), torch.randn(64, 1)),
        _burgers,
    ),
    Case("maml", lambda: plain_mlp("tanh"), vectors, _maml),
    Case("siamese", Siamese, vectors, _contrastive),
    Case("byol", BYOL, vectors, lambda m, b: m(b[0])),
    Case("distilled", Distilled, vectors, lambda m, b: m(b[0])),
    Case("hypernetwork", HyperNetwork, vectors, cross_entropy),
    Case("sharpness-aware", lambda: plain_mlp("tanh"), vectors, _sharpness_aware),
    CASES["lora"],
    Case("weight-tied-loop", WeightTiedLoop, vectors, cross_entropy),
    Case("deq", DEQ, vectors, cross_entropy),
    Case("checkpointed", lambda: Checkpointed(reentrant=False), vectors, cross_entropy),
    Case("checkpointed-reentrant", lambda: Checkpointed(reentrant=True), vectors, cross_entropy),
    Case("reversible", RevNet, vectors, cross_entropy),
    CASES["structured"],
    Case("ragged-outputs", Ragged, vectors, _ragged_loss),
    CASES["keyword-only"],
    Case("keyword-transformer", KeywordTransformer, tokens, lambda m, b: F.cross_entropy(m(words=b[0]), b[1])),
    Case("criterion-inside", WithCriterion, tokens, lambda m, b: m(*b)),
    CASES["weight-norm"],
    CASES["spectral-norm"],
    Case("spectral-cnn", _spectral_cnn, images, cross_entropy),
    Case("orthogonal-lstm", _orthogonal_rnn, tokens, cross_entropy),
    Case("hooked", _hooked, vectors, cross_entropy),
    Case("pruned", _pruned, vectors, cross_entropy),
    CASES["embedding-sparse"],
    Case("recommender-sparse", Recommender, tokens, cross_entropy),
    Case("embedding-max-norm", _bounded_embedding, tokens, cross_entropy),
    Case("fourier-operator", FourierOperator, lambda: vectors(inputs=16), cross_entropy),
    Case("same-tensor", SameTensor, vectors, cross_entropy),
    CASES["bfloat16"],
    Case(
        "transformer-bfloat16",
        lambda: PreNormTransformer().bfloat16(),
        tokens,
        lambda m, b: F.cross_entropy(m(b[0]).float(), b[1]),
    ),
    Case("float16-scaled", lambda: plain_mlp().half(), lambda: vectors(dtype=torch.float16), _scaled),
    CASES["float64"],
    Case("transformer-float64", lambda: PreNormTransformer().double(), tokens, cross_entropy),
    Case("autocast", PreNormTransformer, tokens, _in_autocast),
    Case("autocast-cnn", ResNet18, images, _in_autocast),
)

ZOO: dict[str, Case] = {case.id: case for case in (*HUGGING_FACE, *_OWN)}
