"""A small GPT-2 from Hugging Face transformers, made from a config: random weights, nothing is downloaded.

It learns the characters of a text that every Python ships: the help topics of the language reference.
Run it to train, or let headwater measure it:

    python examples/gpt2.py                           trains it
    headwater check examples/gpt2.py:experiment       measures it
"""

from collections.abc import Iterator
from pydoc_data.topics import topics

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

import headwater as hw

CONTEXT = 64
BATCH_SIZE = 16
STEPS = 200

text = "\n".join(topics[name] for name in sorted(topics))
alphabet = sorted(set(text))
index_of = {character: index for index, character in enumerate(alphabet)}
tokens = torch.tensor([index_of[character] for character in text])
train_tokens, valid_tokens = tokens.split([len(tokens) - len(tokens) // 10, len(tokens) // 10])


def make_model() -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=len(alphabet),
        n_positions=CONTEXT,
        n_embd=64,
        n_layer=4,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


def windows(source: Tensor, count: int) -> Iterator[Tensor]:
    """``count`` batches of token ids (BATCH_SIZE, CONTEXT), each a random stretch of the text."""
    for _ in range(count):
        starts = torch.randint(len(source) - CONTEXT, (BATCH_SIZE, 1))
        yield source[starts + torch.arange(CONTEXT)]


def loss(model: GPT2LMHeadModel, batch: Tensor) -> Tensor:
    return model(input_ids=batch, labels=batch).loss


def experiment() -> hw.Experiment:
    held_out = list(windows(valid_tokens, 8))
    return hw.Experiment(
        model=make_model,
        batches=lambda: windows(train_tokens, STEPS),
        loss=loss,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
        validation=lambda: held_out,
    )


def main() -> None:
    torch.manual_seed(0)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step, batch in enumerate(windows(train_tokens, STEPS), start=1):
        optimizer.zero_grad()
        value = loss(model, batch)
        value.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}: loss {value.item():.3f} nats per character")


if __name__ == "__main__":
    main()
