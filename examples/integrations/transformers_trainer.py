"""Hugging Face's Trainer, watched: one callback, and nothing else changes.

Install what it needs with `pip install "headwater[transformers]"`.

A small GPT-2 learns to go on counting; the callback says how its gradients did.
"""

import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from headwater.integrations.transformers import HeadwaterCallback

VOCABULARY = 32


def counting(samples: int = 256, length: int = 16) -> list[dict[str, torch.Tensor]]:
    """Rows of numbers that go up by one from a start of their own."""
    rows = (torch.arange(length) + torch.randint(VOCABULARY, (samples, 1))) % VOCABULARY
    return [{"input_ids": row, "labels": row} for row in rows]


def main() -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_positions=16, n_embd=32, n_layer=2, n_head=2))
    callback = HeadwaterCallback(every=2)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=40,
            per_device_train_batch_size=32,
            learning_rate=3e-3,
            logging_steps=20,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
        )
        Trainer(model, arguments, train_dataset=counting(), callbacks=[callback]).train()
    print(callback.report())


if __name__ == "__main__":
    main()
